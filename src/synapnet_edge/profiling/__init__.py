"""Deployment measurements: tiers, timing and process memory."""

from __future__ import annotations

from synapnet_edge.profiling.deploy import DeployConfig, empty_table, profile_tier
from synapnet_edge.profiling.tiers import TIERS, TierUnavailable, available

__all__ = ["TIERS", "DeployConfig", "TierUnavailable", "available", "empty_table", "profile_tier"]
