"""SnapKV on a transformer's cache: the last queries vote once, at the end of the prompt (2404.14469)."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.baselines.kv.base import KV_POLICIES, KVPolicy, LayerCache, Seen
from synapnet_edge.memory.scoring import snapkv, snapkv_votes

WINDOW = 32  # queries that vote; never more than half of the capacity


@KV_POLICIES.register("snapkv")
class SnapKV(KVPolicy):
    """Pooled votes of a window, per key-value head; a prompt within the capacity is left as it is."""

    streaming = False
    votes_of = WINDOW

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.window = max(1, min(self.votes_of, self.capacity // 2))
        self._votes: dict[int, Tensor] = {}

    def observe(self, cache: LayerCache, seen: Seen) -> None:
        # The last piece stands; pieces are longer than the window.
        self._votes[seen.layer] = snapkv_votes(seen.probabilities[:, :, -self.window :])

    def scores(self, layer: int, cache: LayerCache) -> Tensor:
        return snapkv(self._votes[layer], self.window, position=cache.position)
