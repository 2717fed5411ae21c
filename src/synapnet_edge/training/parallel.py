"""Data-parallel training on one machine: torchrun starts the processes, gloo adds up their gradients."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn

from synapnet_edge.artifacts import read_json, write_json, write_text
from synapnet_edge.threads import limit_threads
from synapnet_edge.training.interrupts import DeferredInterrupt

LOG = logging.getLogger(__name__)
JOB, RESULT = "job.json", "result.json"
STOP_SECONDS = 75  # torchrun itself gives its processes 30 s after a signal and 30 s more after SIGKILL


class ParallelError(RuntimeError):
    """A process of a run failed; the message says what each of them reported."""


class Ranks:
    """The processes of one run as seen from one of them; by default a run of a single process.

    The collectives must be called by all processes in the same order. With one process they do nothing.

    Parameters
    ----------
    rank, size : int
    launcher : psutil.Process, optional
        The process that asked for the run; when it is gone, nobody waits for the result.
    """

    def __init__(self, rank: int = 0, size: int = 1, launcher: psutil.Process | None = None) -> None:
        self.rank, self.size, self._launcher = rank, size, launcher
        self._flat: Tensor | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def orphaned(self) -> bool:
        """Whether the process that asked for the run is gone."""
        if self._launcher is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            return not self._launcher.is_running() or self._launcher.status() == psutil.STATUS_ZOMBIE
        return True

    def part(self, rows: int) -> slice:
        """This process's rows of a global batch; raises ValueError if it cannot be cut into equal parts."""
        if rows % self.size:
            raise ValueError(f"global batch: found {rows} rows, expected a multiple of {self.size} processes")
        share = rows // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[nn.Parameter], sums: Tensor) -> Tensor:
        """Replace every gradient by the sum over processes and return the summed `sums` [n], in one exchange.

        A parameter that one process did not use counts as zero there. One that no process used keeps no
        gradient, so that the optimiser passes over it as it does in a run of one process.
        """
        if self.size == 1:
            return sums
        count = sum(parameter.numel() for parameter in parameters)
        if self._flat is None:
            self._flat = torch.empty(count + len(parameters) + sums.numel(), dtype=torch.float32)
        gradients, used, tail = self._flat.split([count, len(parameters), sums.numel()])
        views = [
            view.view_as(parameter)
            for view, parameter in zip(
                gradients.split([parameter.numel() for parameter in parameters]), parameters, strict=True
            )
        ]
        for view, parameter in zip(views, parameters, strict=True):
            view.zero_() if parameter.grad is None else view.copy_(parameter.grad)
        used.copy_(torch.tensor([float(parameter.grad is not None) for parameter in parameters]))
        tail.copy_(sums)
        dist.all_reduce(self._flat)
        for view, parameter, users in zip(views, parameters, used.tolist(), strict=True):
            parameter.grad = view if users else None
        return tail.clone()

    def total(self, values: Sequence[float]) -> list[float]:
        """Sum of each value over the processes."""
        if self.size == 1:
            return [float(value) for value in values]
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor)
        return tensor.tolist()

    def any(self, flag: bool) -> bool:
        """Whether `flag` holds in at least one process."""
        return self.total([flag])[0] > 0


def launch(module: str, job: Mapping[str, Any], processes: int, threads: int) -> Any:
    """Run `python -m module JOB` in several processes; return what the first one's target returned.

    Parameters
    ----------
    module : str
        Module that calls `run_rank` when it is run as a program.
    job : mapping
        JSON-encodable settings for the processes.
    processes : int
    threads : int
        Compute threads of each process.

    Raises
    ------
    ParallelError
        If a process fails or is killed. The others are ended first.
    KeyboardInterrupt
        On SIGINT or SIGTERM, after the processes have stopped.
    """
    with tempfile.TemporaryDirectory(prefix="synapnet-edge-") as name, DeferredInterrupt() as interrupt:
        folder = Path(name)
        write_json(folder / JOB, {"job": job, "launcher": os.getpid(), "threads": threads})
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=localhost"),
            *(f"--nproc-per-node={processes}", "--max-restarts=0", "-m", module, str(folder / JOB)),
        ]
        # A session of its own: Ctrl-C at the terminal then reaches the processes once, from here.
        agent = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=_environment(threads), start_new_session=True
        )
        try:
            while not _ended(agent, 0.2) and not interrupt.requested:
                pass
        finally:
            _stop(agent)
        if agent.returncode == 0:
            return read_json(folder / RESULT)
        if interrupt.requested:
            raise KeyboardInterrupt(f"{processes} processes stopped; the same command resumes")
        raise ParallelError(_failure(folder, processes))


def run_rank(target: Callable[[dict[str, Any], Ranks], Any]) -> None:
    """What a process started by `launch` does: join the others, run `target(job, ranks)`, report."""
    file = Path(sys.argv[1])
    settings = read_json(file)
    rank = int(os.environ["RANK"])
    level = logging.INFO if rank == 0 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s", force=True)
    limit_threads(settings["threads"])
    try:
        launcher = psutil.Process(settings["launcher"])
        dist.init_process_group("gloo")  # address, rank and size are in torchrun's environment
        result = target(settings["job"], Ranks(rank, dist.get_world_size(), launcher))
        if rank == 0:
            write_json(file.parent / RESULT, result)
        dist.barrier()
        dist.destroy_process_group()
    except KeyboardInterrupt as stop:
        LOG.warning("%s", stop)
        sys.exit(130)
    except Exception as error:
        with contextlib.suppress(OSError):  # the folder is gone if the launcher is
            write_text(_report(file.parent, rank), f"{type(error).__name__}: {error}")
        raise


def _environment(threads: int) -> dict[str, str]:
    """The environment of the processes: this checkout's package, bounded threads, loopback only."""
    source = str(Path(__file__).parents[2])
    paths = [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
    }


def _ended(agent: subprocess.Popen, seconds: float) -> bool:
    try:
        agent.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop(agent: subprocess.Popen) -> None:
    """End torchrun and its processes: first politely (they save a checkpoint), then by force."""
    if agent.poll() is not None:
        return
    processes = psutil.Process(agent.pid).children(recursive=True)
    agent.terminate()
    try:
        agent.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        agent.kill()
        agent.wait()


def _report(folder: Path, rank: int) -> Path:
    return folder / f"error{rank}.txt"


def _failure(folder: Path, processes: int) -> str:
    """One line per process: its error, or that it left none."""
    lines = [f"training in {processes} processes failed; the same command resumes at the last checkpoint"]
    for rank in range(processes):
        report = _report(folder, rank)
        said = report.read_text(encoding="utf-8") if report.is_file() else "ended without a message (killed?)"
        lines.append(f"rank {rank}: {said}")
    return "\n".join(lines)
