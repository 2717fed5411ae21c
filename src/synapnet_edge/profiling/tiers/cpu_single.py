"""One thread of this machine's processor; it stands for no other device."""

from __future__ import annotations

from synapnet_edge.profiling.tiers.base import Tier

TIER = Tier("cpu_single", "cpu", True, "one CPU thread of this machine")
