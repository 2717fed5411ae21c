"""Figures: every one is drawn from tables alone."""

from __future__ import annotations

from synapnet_edge.plotting import (
    ablation,
    accuracy_vs_length,
    deploy_throughput,
    eviction_grid,
    long_context,
    size_ledger,
    stream_curve,
    training_cost,
    training_curves,
)
from synapnet_edge.plotting.base import FIGURES, Figure, render

__all__ = [
    "FIGURES",
    "Figure",
    "ablation",
    "accuracy_vs_length",
    "deploy_throughput",
    "eviction_grid",
    "long_context",
    "render",
    "size_ledger",
    "stream_curve",
    "training_cost",
    "training_curves",
]
