"""The first NVIDIA (or ROCm) GPU that torch sees."""

from __future__ import annotations

from synapnet_edge.profiling.tiers.base import Tier

TIER = Tier("cuda", "cuda", False, "the first CUDA device")
