"""Figures: every one is drawn from tables alone; one file and one line here each."""

from __future__ import annotations

from synapnet_edge.plotting import (  # noqa: F401  importing registers
    ablation,
    accuracy_vs_length,
    baselines_accuracy,
    baselines_bytes,
    baselines_kv,
    baselines_pareto,
    bit_pareto,
    degradation,
    deploy_memory,
    deploy_roofline,
    deploy_rss,
    deploy_sustained,
    deploy_throughput,
    effective_length,
    episodic_growth,
    eviction_grid,
    eviction_heatmap,
    eviction_overhead,
    eviction_scaling,
    hardware_scaling,
    headline,
    long_context,
    needle_heatmap,
    needlebench,
    pareto_latency,
    pareto_memory,
    qat_share,
    retention_over_budget,
    retention_stability,
    scale_bridge,
    sensitivity,
    size_ledger,
    storage_accuracy,
    stream_curve,
    suite_overview,
    task_heatmap,
    training_cost,
    training_curves,
)
from synapnet_edge.plotting.base import FIGURES, Figure, render

__all__ = ["FIGURES", "Figure", "render"]
