"""Deployment tiers, one file each."""

from __future__ import annotations

from synapnet_edge.profiling.tiers import apple_silicon_mps, cpu_multi, cpu_single, cuda
from synapnet_edge.profiling.tiers.base import TIERS, Tier, TierUnavailable, available, find, require

__all__ = ["TIERS", "Tier", "TierUnavailable", "available", "find", "require"]

for _file in (cpu_multi, cpu_single, cuda, apple_silicon_mps):
    TIERS.add(_file.TIER.name, _file.TIER)
