"""Snakemake's directory lock after a hard kill.

Snakemake locks the working directory by marker files that do not name their owner: a killed run blocks the
next one. Each run notes its process here; if that process is gone, its markers are removed.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from synapnet_edge.artifacts import read_json, write_json

NOTE = Path("synapnet_edge") / "driver.json"


def note_driver(folder: Path) -> None:
    """Write down this process as the one that holds the lock of `folder` (the `.snakemake` directory)."""
    process = psutil.Process(os.getpid())
    owner = {"host": platform.node(), "pid": process.pid, "started": process.create_time()}
    write_json(folder / NOTE, owner)


def release_stale_lock(folder: Path) -> bool:
    """Remove the lock of `folder` if its owner ran on this machine and no longer exists; says whether it did.

    Without a note, or with one from another machine, nothing is touched: the owner may be alive.
    """
    locks = [path for path in (folder / "locks").glob("*") if path.is_file()]
    if not locks or not (folder / NOTE).is_file():
        return False
    owner = read_json(folder / NOTE)
    if owner["host"] != platform.node() or _alive(owner["pid"], owner["started"]):
        return False
    for path in locks:
        path.unlink(missing_ok=True)
    return True


def _alive(pid: int, started: float) -> bool:
    """Whether the process still runs; a process number may have been given to another one since."""
    try:
        process = psutil.Process(pid)
        return process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
