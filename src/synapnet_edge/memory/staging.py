"""Entries of the chunk being written: not readable yet, part of the open chunk rather than of the memory."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.memory.tiers import METADATA, Entries

_FP16_MAX = 65504.0


def new_entries(keys: Tensor, values: Tensor, log_salience: Tensor, positions: Tensor, step: int) -> Entries:
    """Entries [B, K, ...] with FP16 payload [B, K, H, d] and fresh counters; salience -inf is padding.

    Parameters
    ----------
    keys, values : Tensor
        [B, H, K, d].
    log_salience, positions : Tensor
        [B, K].
    step : int
        Chunk of the write; a write counts as a use.

    Raises
    ------
    ValueError
        If the shapes do not agree.
    """
    batch, _, count, _ = keys.shape
    if values.shape != keys.shape or not log_salience.shape == positions.shape == (batch, count):
        shapes = [tuple(x.shape) for x in (keys, values, log_salience, positions)]
        raise ValueError(f"keys, values [B, H, K, d], salience and positions [B, K] expected, got {shapes}")
    padding = torch.isneginf(log_salience)
    now = torch.full((batch, count), step, dtype=torch.int32, device=keys.device)
    zero = torch.zeros(batch, count, device=keys.device)
    return {
        "keys": _to_fp16(keys.transpose(1, 2)),
        "values": _to_fp16(values.transpose(1, 2)),
        "position": positions.to(torch.int32).masked_fill(padding, -1),
        "log_salience": _to_fp16(log_salience).masked_fill(padding, 0.0),
        "count": (~padding).float(),
        "mass": zero,
        "chunk_mass": zero,
        "last_read": now,
        "written": now,
        "reads": torch.zeros_like(now),
    }


class Staging:
    """What the layers have written since the last chunk's end."""

    def __init__(self, n_layers: int) -> None:
        self._parts: list[list[Entries]] = [[] for _ in range(n_layers)]

    def __bool__(self) -> bool:
        return any(self._parts)

    def add(self, layer: int, entries: Entries) -> None:
        """Append entries [B, K, ...] of one layer."""
        self._parts[layer].append(entries)

    def bytes(self) -> int:
        """Bytes of all streams."""
        return sum(x.numel() * x.element_size() for part in self._parts for e in part for x in e.values())

    def collect(self) -> Entries:
        """Return everything as [L, B, K, ...] and forget it; layers that wrote fewer than K are padded."""
        layers = [_concatenate(part) for part in self._parts]
        self._parts = [[] for _ in self._parts]
        present = [x for x in layers if x is not None]
        if len(present) == len(layers) and len({x["position"].shape[1] for x in present}) == 1:
            if len(present) == 1:
                return {name: x[None] for name, x in present[0].items()}
            return {name: torch.stack([x[name] for x in present]) for name in present[0]}
        longest = max(x["position"].shape[1] for x in present)
        stacked = {}
        for name, like in present[0].items():
            fill = METADATA[name][1] if name in METADATA else 0
            shape = (len(layers), like.shape[0], longest, *like.shape[2:])
            stacked[name] = torch.full(shape, fill, dtype=like.dtype, device=like.device)
            for layer, entries in enumerate(layers):
                if entries is not None:
                    stacked[name][layer, :, : entries[name].shape[1]] = entries[name]
        return stacked


def _concatenate(parts: list[Entries]) -> Entries | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return {name: torch.cat([x[name] for x in parts], dim=1) for name in parts[0]}


def _to_fp16(x: Tensor) -> Tensor:
    return x.detach().clamp(-_FP16_MAX, _FP16_MAX).to(torch.float16)
