"""Activation memory against the context: what a stream needs beyond the loaded model."""

from __future__ import annotations

from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.metrics.probes import checkpoint, readings

ON_DEVICE = "peak of the device's allocator beyond the loaded model, whole stream so far"
IN_PROCESS = "peak RSS of a fresh process beyond the loaded model, whole stream so far"


def measure(bench: Bench) -> None:
    """`activation_bytes` at every context of the probes."""
    found = readings(bench)
    for arm in bench.detailed():
        rounds = found[arm.key]
        if rounds and not rounds[0].get("peak_resets", True):
            bench.skipped[f"{arm.key}: activation_bytes"] = "this system cannot reset a process's peak RSS"
            continue
        for context in bench.settings.rss_contexts:
            points = [checkpoint(reading, context) for reading in rounds]
            method = ON_DEVICE if points[0]["on_device"] else IN_PROCESS
            samples = [point["activation_bytes"] for point in points]
            bench.add(arm, context, "activation_bytes", "B", samples, method)
