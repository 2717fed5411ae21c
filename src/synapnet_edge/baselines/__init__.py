"""Baselines under the reference model's rules: same tokens, mixture, steps and parameters (within 5 %)."""

from __future__ import annotations

from synapnet_edge.baselines import em_llm, falcon_h1, hymba, llama, mamba2
from synapnet_edge.baselines.base import BASELINES, Baseline, StreamState, count_parameters
from synapnet_edge.baselines.library import BaselineUnavailable
from synapnet_edge.baselines.shape import Shape, fit

__all__ = [
    "BASELINES",
    "Baseline",
    "BaselineUnavailable",
    "Shape",
    "StreamState",
    "count_parameters",
    "em_llm",
    "falcon_h1",
    "fit",
    "hymba",
    "llama",
    "mamba2",
]
