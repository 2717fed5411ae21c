"""The control of chance: keys drop uniformly at random."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.baselines.kv.base import KV_POLICIES, KVPolicy, LayerCache


@KV_POLICIES.register("random")
class Random(KVPolicy):
    """Uniform choice; `seed` in the settings."""

    def scores(self, layer: int, cache: LayerCache) -> Tensor:
        # A key's fate is drawn once: a new draw at every piece would favour the newest keys.
        seed = int(self.settings.get("seed", 0))
        generator = torch.Generator().manual_seed(seed * 1009 + layer)
        batch, groups, _ = cache.position.shape
        lots = torch.rand(
            batch, groups, int(cache.position.max()) + 1, generator=generator, dtype=torch.float64
        )
        return lots.gather(2, cache.position.cpu()).to(cache.position.device)
