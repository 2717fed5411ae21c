"""A hard kill must not block the next run, and a living run must never lose its lock."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from synapnet_edge.artifacts import read_json, write_json
from synapnet_edge.driver_lock import NOTE, note_driver, release_stale_lock


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.output.lock").write_text("results/summary.md\n")
    return tmp_path


def locked(folder) -> bool:
    return any((folder / "locks").iterdir())


def note_process(folder, process: psutil.Process) -> None:
    note_driver(folder)
    owner = read_json(folder / NOTE)
    write_json(folder / NOTE, owner | {"pid": process.pid, "started": process.create_time()})


def test_lock_of_a_living_run_is_kept(folder):
    note_driver(folder)
    assert not release_stale_lock(folder) and locked(folder)


def test_lock_of_a_killed_run_is_removed(folder):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    note_process(folder, psutil.Process(child.pid))
    child.kill()
    child.wait()
    assert release_stale_lock(folder) and not locked(folder)


def test_lock_is_removed_when_the_process_number_was_reused(folder):
    note_driver(folder)
    write_json(folder / NOTE, read_json(folder / NOTE) | {"started": 1.0})
    assert release_stale_lock(folder) and not locked(folder)


def test_lock_of_another_machine_is_kept(folder):
    note_driver(folder)
    write_json(folder / NOTE, read_json(folder / NOTE) | {"host": "elsewhere", "started": 1.0})
    assert not release_stale_lock(folder) and locked(folder)


def test_lock_without_a_note_is_kept(folder):
    assert not release_stale_lock(folder) and locked(folder)
