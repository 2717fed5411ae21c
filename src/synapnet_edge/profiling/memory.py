"""Memory of a process, read from the operating system and never computed from sizes."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import time
from pathlib import Path

import psutil


def rss_bytes() -> int:
    """Resident set size of this process now."""
    return int(psutil.Process().memory_info().rss)


def private_bytes() -> int | None:
    """Resident bytes that no other process shares, from /proc/self/smaps_rollup; None off Linux.

    Unlike RSS it leaves out library pages that other programs map as well.
    """
    rollup = Path("/proc/self/smaps_rollup")
    try:
        lines = rollup.read_text().splitlines()
    except OSError:
        return None
    kib = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))
    return kib * 1024


def peak_rss_bytes() -> int:
    """Largest resident set size this process had in its life, or since `reset_peak`.

    Linux: VmHWM of /proc/self/status. Elsewhere: getrusage (bytes on macOS), or the peak working set on
    Windows. VmHWM may lag behind a reading of RSS by a few pages, hence the maximum of both.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return max(int(line.split()[1]) * 1024, rss_bytes())
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def reset_peak() -> bool:
    """Let `peak_rss_bytes` start anew (Linux 4.0 and later); False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def return_free_memory() -> None:
    """Give freed heap back to the system (glibc), so that later growth is seen as growth.

    A loader leaves freed blocks in the heap; work that fits into them would look as if it took no memory.
    """
    gc.collect()
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):
            return  # another C library: nothing to ask for


class RssTrace:
    """RSS of this process every `every` seconds, read by a thread while a block runs.

    Attributes
    ----------
    points : (seconds since the start, RSS in bytes).
    """

    def __init__(self, every: float) -> None:
        if every <= 0:
            raise ValueError(f"RSS trace: expected an interval > 0 s, got {every}")
        self.every = every
        self.points: list[tuple[float, int]] = []
        self._done = threading.Event()

    def __enter__(self) -> RssTrace:
        self._start = time.perf_counter()
        self._read()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._read()

    def peak(self) -> int:
        """Largest RSS that was seen."""
        return max(rss for _, rss in self.points)

    def _read(self) -> None:
        self.points.append((time.perf_counter() - self._start, rss_bytes()))

    def _run(self) -> None:
        while not self._done.wait(self.every):
            self._read()


def source_root() -> str:
    """Folder from which a child interpreter imports this package."""
    return str(Path(__file__).resolve().parents[2])


def child_environment(threads: int) -> dict[str, str]:
    """Environment of a child interpreter that can import this package and computes with `threads` threads."""
    path = os.pathsep.join(p for p in (source_root(), os.environ.get("PYTHONPATH", "")) if p)
    pools = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return os.environ | {"PYTHONPATH": path} | dict.fromkeys(pools, str(threads))
