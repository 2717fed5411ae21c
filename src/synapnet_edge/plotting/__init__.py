"""Figures: every one is drawn from tables alone."""

from __future__ import annotations

from synapnet_edge.plotting import (
    accuracy_vs_length,
    deploy_throughput,
    eviction_grid,
    size_ledger,
    training_curves,
)
from synapnet_edge.plotting.base import FIGURES, Figure, render

__all__ = [
    "FIGURES",
    "Figure",
    "accuracy_vs_length",
    "deploy_throughput",
    "eviction_grid",
    "render",
    "size_ledger",
    "training_curves",
]
