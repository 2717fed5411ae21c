"""The control that needs no scores: the first four keys and the newest ones."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.baselines.kv.base import KV_POLICIES, KVPolicy, LayerCache
from synapnet_edge.memory.scoring import protect_recent

SINKS = 4  # as StreamingLLM (2309.17453); positions are not assigned anew


@KV_POLICIES.register("window")
class Window(KVPolicy):
    """Sinks and recent keys."""

    def scores(self, layer: int, cache: LayerCache) -> Tensor:
        first = (cache.position < SINKS).double()
        return protect_recent(first, max(0, self.capacity - SINKS), cache.position)
