"""Fresh processes: start one, read what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from synapnet_edge.profiling.memory import child_environment

TIMEOUT_SECONDS = 1800
# An empty interpreter must not import our package, hence -c with constant text.
_EMPTY = "import {modules}, psutil; print(psutil.Process().memory_info().rss)"
BASELINES = {"torch": "torch"}


def baseline_rss_bytes(threads: int, modules: str = "torch") -> int:
    """RSS of a fresh Python interpreter that has imported torch and nothing of ours."""
    if modules not in BASELINES:
        raise ValueError(f"baseline: expected one of {', '.join(BASELINES)}, got {modules!r}")
    code = _EMPTY.format(modules=BASELINES[modules])
    return int(_run([sys.executable, "-c", code], threads).strip())


def probe(
    model: Path, backend: str, contexts: tuple[int, ...], *, device: str, chunk_size: int, threads: int
) -> dict[str, Any]:
    """Load and stream a model in a fresh process and read its memory there.

    Returns
    -------
    dict with `loaded_rss_bytes` (after loading and one token), `steady_rss_bytes` (after the stream, with its
    state alive), `peak_rss_bytes` (the whole life of the process), the same for private bytes where the
    system tells them, `checkpoints` (context, activation_bytes, state_bytes, store_bytes) and `trace`
    ([seconds, RSS], ...).

    Raises
    ------
    RuntimeError : the process failed; the message ends with its last lines.
    """
    arguments = [
        *(sys.executable, "-m", "synapnet_edge.profiling.probe", str(model), "--backend", backend),
        *("--contexts", *map(str, contexts), "--device", device),
        *("--chunk-size", str(chunk_size), "--threads", str(threads)),
    ]
    return json.loads(_run(arguments, threads).splitlines()[-1])


def _run(arguments: list[str], threads: int) -> str:
    """Run a child interpreter that can import this package; its standard output."""
    done = subprocess.run(
        arguments,
        env=child_environment(threads),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        tail = done.stderr.strip().splitlines()[-3:]
        raise RuntimeError(f"memory probe {arguments[1:]} ended with {done.returncode}: {' | '.join(tail)}")
    return done.stdout
