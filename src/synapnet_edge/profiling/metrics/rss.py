"""Memory of fresh processes: after loading, in a steady stream, at its peak, and over time."""

from __future__ import annotations

from synapnet_edge.profiling import processes
from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.device import counts_allocations
from synapnet_edge.profiling.metrics.probes import readings

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
    baseline = [processes.baseline_rss_bytes(bench.threads) for _ in range(bench.settings.rss_repeats)]
    for arm in bench.detailed():
        rounds = found[arm.key]
        for metric, method in METHODS.items():
            samples = [reading[metric] for reading in rounds if reading[metric] is not None]
            if samples:
                bench.add(arm, context, metric, "B", samples, method)
        bench.add(arm, 0, "baseline_rss_bytes", "B", baseline, "fresh interpreter with torch imported")
        for seconds, rss in rounds[0]["trace"]:
            bench.mark(arm, "rss", seconds, rss, "B")
