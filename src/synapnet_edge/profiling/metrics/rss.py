"""Memory of fresh processes: after loading, in a steady stream, at its peak, and over time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from synapnet_edge.profiling import processes
from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.device import counts_allocations
from synapnet_edge.profiling.metrics.probes import readings
from synapnet_edge.profiling.random_models import write_random

# A model of every kind of layer that weighs next to nothing.
SMALLEST = {
    **{"dim": 64, "depth": 1, "vocab_size": 64, "heads": 2, "episodic_slots": 8, "max_entries": 16},
    **{"chunk_len": 32, "window": 8, "top_k": 8, "ff_hidden": 64},
}
METHODS = {
    "loaded_rss_bytes": "RSS of a fresh process after loading and one token",
    "steady_rss_bytes": "RSS of a fresh process at the end of a stream",
    "steady_private_bytes": "pages of a fresh process that no other shares (smaps_rollup), end of a stream",
    "peak_rss_bytes": "largest RSS in the life of a fresh process, loading included",
}


def measure(bench: Bench) -> None:
    """Rows at the probes' longest context, those of an empty interpreter, and the first round's curve."""
    found = readings(bench)
    if not bench.settings.rss_contexts:
        return
    if counts_allocations(bench.device):
        bench.skipped["rss"] = f"the weights lie on {bench.device}, not in the process; see activation_bytes"
        return
    context = max(bench.settings.rss_contexts)
    repeats = bench.settings.rss_repeats
    baseline = [processes.baseline_rss_bytes(bench.threads) for _ in range(repeats)]
    runtime = _runtimes(bench)
    for arm in bench.detailed():
        rounds = found[arm.key]
        for metric, method in METHODS.items():
            samples = [reading[metric] for reading in rounds if reading[metric] is not None]
            if samples:
                bench.add(arm, context, metric, "B", samples, method)
        bench.add(arm, 0, "baseline_rss_bytes", "B", baseline, "fresh interpreter with torch imported")
        method = "RSS of a fresh process in which the same backend has run a model of some 100 KB"
        bench.add(arm, 0, "runtime_rss_bytes", "B", runtime[arm.backend.name], method)
        for seconds, rss in rounds[0]["trace"]:
            bench.mark(arm, "rss", seconds, rss, "B")


def _runtimes(bench: Bench) -> dict[str, list[float]]:
    """backend -> RSS of a process that holds the backend's code, kernels and threads, but hardly a model."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = write_random(SMALLEST, ["fp16"], Path(folder))["fp16"]
        names = list(dict.fromkeys(arm.backend.name for arm in bench.detailed()))
        place = {"device": bench.device, "chunk_size": SMALLEST["chunk_len"], "threads": bench.threads}
        for name in names:
            reading = processes.probe(path, name, (SMALLEST["chunk_len"],), **place)
            found[name] = [reading["steady_rss_bytes"]]
    return found
