"""What a terminal learns of running jobs: the last bar of every log."""

from __future__ import annotations

import os
import pty
import time

from synapnet_edge.bars import FRESH, last_bar, running, shown

LOG = (
    "start\n\rfit:   0%|          | 0/20 [00:00<?, ?it/s]"
    "\rfit:  35%|███▌      | 7/20 [00:03<00:05, 2.2it/s, loss=0.5]"
)


def test_the_last_bar_is_found_without_its_drawing(tmp_path):
    log = tmp_path / "job.log"
    log.write_text(LOG)
    assert last_bar(log) == "fit 35 % 7/20 [00:03<00:05, 2.2it/s, loss=0.5]"
    log.write_text(LOG + "\n2026-01-01 a line of a library\n")
    assert last_bar(log) == "fit 35 % 7/20 [00:03<00:05, 2.2it/s, loss=0.5]"
    log.write_text("no bar at all\n")
    assert last_bar(log) is None and last_bar(tmp_path / "missing.log") is None


def test_only_logs_that_are_written_to_and_not_at_the_end_are_running(tmp_path):
    for name, text in (("runs", LOG), ("done", LOG.replace(" 35%", "100%")), ("old", LOG)):
        (tmp_path / f"{name}.log").write_text(text)
    past = time.time() - 2 * FRESH
    os.utime(tmp_path / "old.log", (past, past))
    assert [log.stem for log in running(tmp_path)] == ["runs"]


def test_a_terminal_gets_lines_and_a_pipe_gets_none(tmp_path):
    log = tmp_path / "job.log"
    log.write_text(LOG)
    reader, writer = os.pipe()
    with shown(log, "job", writer, every=0.01):
        time.sleep(0.1)
    os.close(writer)
    assert os.read(reader, 100) == b""
    master, terminal = pty.openpty()
    with shown(log, "job", terminal, every=0.01):
        time.sleep(0.2)
    assert b"job: fit 35 % 7/20" in os.read(master, 1000)
    for descriptor in (reader, master, terminal):
        os.close(descriptor)
