"""Scissorhands on a transformer's cache: keys that were often unimportant lately go first (2305.17118)."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.baselines.attention import visible
from synapnet_edge.baselines.kv.base import KV_POLICIES, KVPolicy, LayerCache, Seen
from synapnet_edge.memory.scoring import low_counts, scissorhands

RECENT = 10
HISTORY = 4  # pieces whose queries count: the paper's 400 queries at this evaluation's pieces


@KV_POLICIES.register("scissorhands")
class Scissorhands(KVPolicy):
    """Counts of low weights within a window of queries; when full, half of the budget drops in one go."""

    notes = tuple(f"low{index}" for index in range(HISTORY))

    def observe(self, cache: LayerCache, seen: Seen) -> None:
        length, total = seen.probabilities.shape[2:]
        mask = visible(length, total, seen.probabilities.device)
        counts = low_counts(seen.probabilities, mask.sum(1), mask).float()
        for index in range(HISTORY - 1, 0, -1):
            cache.notes[f"low{index}"] = cache.notes[f"low{index - 1}"]
        cache.notes["low0"] = counts

    def scores(self, layer: int, cache: LayerCache) -> Tensor:
        low = torch.stack([cache.notes[name] for name in self.notes]).sum(0)
        return scissorhands(low, min(RECENT, self.capacity), position=cache.position)

    def room(self, layer: int, found: int, length: int) -> int:
        if found <= self.capacity:
            return found
        return max(1, min(self.capacity, found - self.capacity // 2))
