"""Byte and entry counts of the memory, read off the arrays themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synapnet_edge.memory.tiers import Block


def bytes_per_stream(blocks: Sequence[Block]) -> Tensor:
    """[B] int64: bytes of the live entries of each stream, over all layers and tiers."""
    used = [block.live.sum(dim=(0, 2)) * block.entry_bytes for block in blocks]
    return torch.stack(used).sum(dim=0)


def entries_per_layer(blocks: Sequence[Block]) -> Tensor:
    """[L, B] int64: live entries."""
    return torch.stack([block.live.sum(dim=2) for block in blocks]).sum(dim=0)


def by_tier(blocks: Sequence[Block]) -> dict[str, tuple[int, int]]:
    """Tier -> (bytes, entries) over all layers, of the stream that holds most of it.

    A summary is an entry that stands for more than one token.
    """
    tiers = {"fp16": (0, 0), "int8": (0, 0), "summary": (0, 0)}
    for block in blocks:
        merged = block.live & (block.data["count"] > 1)
        for tier, mask in ((block.entry_format, block.live & ~merged), ("summary", merged)):
            entries = int(mask.sum(dim=(0, 2)).max())
            tiers[tier] = (tiers[tier][0] + entries * block.entry_bytes, tiers[tier][1] + entries)
    return tiers
