"""Memory of a process, read from the operating system and never computed from sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

PROBE_TIMEOUT_SECONDS = 600

# The empty interpreter must not import our package, hence -c with constant text.
_BASELINE = "import torch, psutil; print(psutil.Process().memory_info().rss)"


def rss_bytes() -> int:
    """Resident set size of this process now."""
    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int:
    """Largest resident set size this process ever had.

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


def baseline_rss_bytes(threads: int) -> int:
    """RSS of a fresh Python interpreter that has imported torch and nothing of ours."""
    return int(_run([sys.executable, "-c", _BASELINE], threads).strip())


def probe_model(
    model: Path, context: int, *, dtype: str, device: str, chunk_size: int, threads: int
) -> dict[str, Any]:
    """Load and stream a model in a fresh process and read its memory there.

    Returns
    -------
    dict with `loaded_rss_bytes` (after loading), `steady_rss_bytes` (after the stream, with its state
    alive) and `peak_rss_bytes` (the whole life of the process, loading included).
    """
    arguments = [
        *(sys.executable, "-m", "synapnet_edge.profiling.rss_probe", str(model), str(context)),
        *("--dtype", dtype, "--device", device),
        *("--chunk-size", str(chunk_size), "--threads", str(threads)),
    ]
    return json.loads(_run(arguments, threads).splitlines()[-1])


def _run(arguments: list[str], threads: int) -> str:
    """Run a child interpreter that can import this package; its standard output."""
    source_root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (source_root, os.environ.get("PYTHONPATH", "")) if p)
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        arguments,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PROBE_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        tail = done.stderr.strip().splitlines()[-3:]
        raise RuntimeError(f"memory probe {arguments[1:]} ended with {done.returncode}: {' | '.join(tail)}")
    return done.stdout
