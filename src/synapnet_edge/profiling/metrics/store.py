"""Growth of what a stream carries: its whole state, and the episodic memory in it."""

from __future__ import annotations

from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.metrics.probes import checkpoint, readings

METHODS = {
    "state_bytes": "arrays that the carried state holds, weights left out",
    "store_bytes": "arrays that the episodic memory in it holds",
}


def measure(bench: Bench) -> None:
    """`state_bytes` and `store_bytes` at every context of the probes."""
    found = readings(bench)
    for arm in bench.detailed():
        for context in bench.settings.rss_contexts:
            points = [checkpoint(reading, context) for reading in found[arm.key]]
            for metric, method in METHODS.items():
                samples = [point[metric] for point in points if point[metric] is not None]
                if samples:
                    bench.add(arm, context, metric, "B", samples, method)
