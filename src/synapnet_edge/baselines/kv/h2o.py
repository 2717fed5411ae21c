"""H2O on a transformer's cache: accumulated attention, half of the budget for recent keys (2306.14048)."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.baselines.kv.base import KV_POLICIES, KVPolicy, LayerCache, Seen
from synapnet_edge.memory.scoring import h2o


@KV_POLICIES.register("h2o")
class H2O(KVPolicy):
    """Heavy hitters; a dropped key takes its sum with it and cannot return."""

    notes = ("mass",)

    def observe(self, cache: LayerCache, seen: Seen) -> None:
        cache.notes["mass"] = cache.notes["mass"] + seen.probabilities.sum(2)

    def scores(self, layer: int, cache: LayerCache) -> Tensor:
        return h2o(cache.notes["mass"], self.capacity // 2, position=cache.position)
