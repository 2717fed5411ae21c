"""All cores the process may use."""

from __future__ import annotations

from synapnet_edge.profiling.tiers.base import Tier

TIER = Tier("cpu_multi", "cpu", False, "all usable CPU cores")
