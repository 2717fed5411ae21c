"""The last progress bar of a job's log, for people at a terminal: of jobs side by side each gets a line."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

EVERY = 30.0  # seconds between two lines of one job
FRESH = 120.0  # seconds after which a log that is not written to is no running job's
_TAIL = 4096  # bytes of a log that hold its last bar
_BAR = re.compile(r"^(?P<what>.*?):?\s+(?P<percent>\d+)%\|[^|]*\|\s*(?P<rest>\d+/\d+ .*)$")


def last_bar(log: Path) -> str | None:
    """The last bar in `log`, without its drawing: `fit 41 % 812/2000 [...]`; None without one."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            tail = file.read().decode(errors="replace")
    except OSError:
        return None
    for line in reversed(re.split(r"[\r\n]", tail)):
        if found := _BAR.match(line.strip()):
            return f"{found['what']} {found['percent']} % {found['rest']}".strip()
    return None


def running(logs: Path, now: float | None = None) -> dict[Path, str]:
    """Last bars of the logs below `logs` written to in the last `FRESH` seconds and not at 100 %."""
    now = time.time() if now is None else now
    fresh = [log for log in sorted(logs.rglob("*.log")) if now - log.stat().st_mtime < FRESH]
    bars = {log: last_bar(log) for log in fresh}
    return {log: bar for log, bar in bars.items() if bar and " 100 % " not in bar}


@contextlib.contextmanager
def shown(log: Path, name: str, terminal: int, every: float = EVERY) -> Iterator[None]:
    """While the block runs, write the last bar in `log` to the file descriptor `terminal`, if it is one."""
    if not os.isatty(terminal):
        yield
        return
    stop = threading.Event()

    def report() -> None:
        while not stop.wait(every):
            if bar := last_bar(log):
                # One write, so that lines of several jobs do not mix; a terminal that went away is no error.
                with contextlib.suppress(OSError):
                    os.write(terminal, f"{name}: {bar}\n".encode())

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
