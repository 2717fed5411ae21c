"""What is measured on a tier, one file each."""

from __future__ import annotations

from synapnet_edge.profiling.metrics import (
    activation,
    dense,
    pieces,
    roofline,
    rss,
    sizes,
    speed,
    store,
    sustained,
)
from synapnet_edge.profiling.metrics.base import METRICS, Metric

__all__ = ["METRICS", "Metric"]

for _metric in (
    Metric("sizes", sizes.measure, "resident parameter memory, stored file"),
    Metric("speed", speed.measure, "prefill, first token, decode, latency against the context"),
    Metric("pieces", pieces.measure, "prefill against the size of the pieces"),
    Metric("dense", dense.measure, "a whole pass against the dense model of the same shape"),
    Metric("activation", activation.measure, "memory of a stream beyond the model, against the context"),
    Metric("store", store.measure, "carried state and episodic memory against the context"),
    Metric("rss", rss.measure, "memory of a fresh process: loaded, steady, peak, over time"),
    Metric("sustained", sustained.measure, "decoding without a pause: first and last window, energy"),
    Metric("roofline", roofline.measure, "work and traffic per token, limits of the machine"),
):
    METRICS.add(_metric.name, _metric)
