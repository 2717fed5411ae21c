"""Deployment measurements: tiers, backends, metrics, and the profile of one tier."""

from __future__ import annotations

from synapnet_edge.profiling.deploy import Profile, empty_profile, empty_table, profile_tier
from synapnet_edge.profiling.settings import DeployConfig
from synapnet_edge.profiling.tiers import TIERS, TierUnavailable, available

__all__ = [
    "TIERS",
    "DeployConfig",
    "Profile",
    "TierUnavailable",
    "available",
    "empty_profile",
    "empty_table",
    "profile_tier",
]
