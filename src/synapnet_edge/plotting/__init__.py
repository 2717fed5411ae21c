"""Figures: every one is drawn from tables alone; one file and one line here each."""

from __future__ import annotations

from synapnet_edge.plotting import (  # noqa: F401  importing registers
    ablation,
    accuracy_vs_length,
    degradation,
    deploy_throughput,
    effective_length,
    eviction_grid,
    long_context,
    needle_heatmap,
    size_ledger,
    stream_curve,
    suite_overview,
    training_cost,
    training_curves,
)
from synapnet_edge.plotting.base import FIGURES, Figure, render

__all__ = ["FIGURES", "Figure", "render"]
