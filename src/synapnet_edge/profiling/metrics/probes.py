"""The streams that the memory metrics share: one per arm and round, read once.

On the CPU each is a fresh process, since only a whole process tells its memory. An accelerator whose
allocator counts tells the bytes of one stream exactly, whatever else lies there: it is read in this process.
"""

from __future__ import annotations

from typing import Any

from synapnet_edge.profiling import processes
from synapnet_edge.profiling.backends import Arm
from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.device import counts_allocations
from synapnet_edge.profiling.probe import placed_ids, read_stream
from synapnet_edge.profiling.timing import rotated

KEY = "probes"


def readings(bench: Bench) -> dict[str, list[dict[str, Any]]]:
    """arm key -> what each round read; the streams run on the first call."""
    settings = bench.settings
    if KEY not in bench.shared:
        arms = {arm.key: arm for arm in bench.detailed()}
        found: dict[str, list[dict[str, Any]]] = {key: [] for key in arms}
        rounds = settings.rss_repeats if settings.rss_contexts else 0
        read = _here if counts_allocations(bench.device) else _fresh
        for turn in range(rounds):
            for key in rotated(list(arms), turn):
                found[key].append(read(bench, arms[key]))
        bench.shared[KEY] = found
    return bench.shared[KEY]


def _fresh(bench: Bench, arm: Arm) -> dict[str, Any]:
    return processes.probe(
        arm.path,
        arm.backend.name,
        bench.settings.rss_contexts,
        device=bench.device,
        chunk_size=bench.settings.chunk_size,
        threads=bench.threads,
    )


def _here(bench: Bench, arm: Arm) -> dict[str, Any]:
    session, contexts = bench.session(arm), bench.settings.rss_contexts
    points, _ = read_stream(session, placed_ids(session, contexts), contexts, bench.settings.chunk_size)
    return {"checkpoints": points}


def checkpoint(reading: dict[str, Any], context: int) -> dict[str, Any]:
    """What a stream read at one context."""
    return next(point for point in reading["checkpoints"] if point["context"] == context)
