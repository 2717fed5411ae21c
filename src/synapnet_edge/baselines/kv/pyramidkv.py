"""PyramidKV on a transformer's cache: SnapKV's votes, more keys for lower layers (2406.02069)."""

from __future__ import annotations

from synapnet_edge.baselines.kv.base import KV_POLICIES
from synapnet_edge.baselines.kv.snapkv import SnapKV
from synapnet_edge.memory.scoring import pyramid_budgets

BETA = 5.0  # the paper's 20 leaves the last of few layers almost nothing


@KV_POLICIES.register("pyramidkv")
class PyramidKV(SnapKV):
    """The same total as SnapKV, spread over the layers."""

    votes_of = 8

    def room(self, layer: int, found: int, length: int) -> int:
        budgets = pyramid_budgets(self.layers, self.capacity, window=self.window, beta=BETA, length=found)
        return budgets[layer]
