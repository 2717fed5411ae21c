"""The GPU of an Apple Silicon machine."""

from __future__ import annotations

from synapnet_edge.profiling.tiers.base import Tier

TIER = Tier("apple_silicon_mps", "mps", False, "the GPU of an Apple Silicon machine through Metal")
