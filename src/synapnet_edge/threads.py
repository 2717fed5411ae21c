"""What every job does first: bound its threads and send its output to its log file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from synapnet_edge import bars, headlines

_POOL_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def limit_threads(count: int) -> None:
    """Compute with `count` threads in this process and in the processes it starts.

    Two processes with two OpenMP threads each slow one another tenfold on two cores, so nothing may run
    before this call. Waiting threads sleep instead of spinning for the same reason.

    Raises
    ------
    ValueError
        If `count` is not at least 1.
    """
    if count < 1:
        raise ValueError(f"threads: found {count}, expected at least 1")
    os.environ.update(dict.fromkeys(_POOL_VARIABLES, str(count)), OMP_WAIT_POLICY="PASSIVE")
    import torch

    torch.set_num_threads(count)
    # Raises once parallel work has begun; a pool that is already as wanted needs no call.
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)


def put_checkout_first() -> None:
    """Let the Python processes started from here import the package that this process runs.

    They then need no installation, and an installed copy of another version does not get in the way.
    """
    source = str(Path(__file__).parents[1])
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", source)]
    os.environ["PYTHONPATH"] = os.pathsep.join([source, *others])


@contextlib.contextmanager
def job(log: str | Path, threads: int | None = None) -> Iterator[float]:
    """Run the block with stdout and stderr (of libraries and child processes too) in `log`.

    Yields the start time [s since the epoch]. `threads` bounds the compute threads; None leaves torch alone
    (jobs that only read tables). While the block runs, a terminal gets its last progress bar now and then; at
    the end one line says what came out. A failure leaves its traceback in the log, and the terminal gets its
    cause and the log's path; the exit status is 1.
    """
    started = time.time()
    put_checkout_first()
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    failure: BaseException | None = None
    saved = [(stream, os.dup(stream.fileno())) for stream in (sys.__stdout__, sys.__stderr__)]
    with open(log, "w", encoding="utf-8", buffering=1) as file:
        for stream, _ in saved:
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
        try:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", force=True)
            if threads is not None:
                limit_threads(threads)
            with bars.shown(Path(log), _name(Path(log)), saved[-1][1]):
                yield started
        except BaseException as error:
            traceback.print_exc()
            failure = error
        finally:
            for stream, copy in saved:
                stream.flush()
                os.dup2(copy, stream.fileno())
                os.close(copy)
    if failure is None:
        print(_done(Path(log), time.time() - started), file=sys.__stderr__, flush=True)
    elif isinstance(failure, Exception):
        print(f"{_name(Path(log))} failed: {_cause(failure)}\n  log: {log}", file=sys.__stderr__, flush=True)
        raise SystemExit(1) from failure
    else:
        raise failure


def _name(log: Path) -> str:
    """What a job is called: its log's path without the folder of all logs."""
    parts = log.with_suffix("").parts
    return "/".join(parts[parts.index("logs") + 1 :] if "logs" in parts else parts[-1:])


def _done(log: Path, seconds: float) -> str:
    facts = [*headlines.LATEST[:1], f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"]
    return f"{_name(log)}: {', '.join(facts)}"


def _cause(error: BaseException) -> str:
    """The first line of the error that started it all."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__
