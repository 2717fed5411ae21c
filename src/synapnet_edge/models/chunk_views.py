"""What each of several chunks sees of the memory, when whole chunks are processed together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from synapnet_edge.models.state import MemoryView


def stack_chunks(x: Tensor, chunks: int) -> Tensor:
    """[B, H, G C, d] -> [B G, H, C, d]; [B, G C] -> [B G, C]."""
    if x.dim() == 2:
        return x.unflatten(1, (chunks, -1)).flatten(0, 1)
    return x.unflatten(2, (chunks, -1)).transpose(1, 2).flatten(0, 1)


def view_per_chunk(
    view: MemoryView | None,
    keys: Tensor,
    values: Tensor,
    bias: Tensor,
    chunks: int,
    capacity: int | None,
) -> tuple[MemoryView, Tensor | None]:
    """Views of G chunks that read before any of them has been written: the stored entries and, of the new
    ones, those of earlier chunks. Exactly what each would see if they came one by one.

    Parameters
    ----------
    view : MemoryView or None
        The stored entries of B streams.
    keys, values, bias : Tensor
        [B, H, G K, d] (twice) and [B, G K], the entries that the chunks will write, K each.
    chunks : int
        G.
    capacity : int or None
        If the store keeps the most salient entries only: how many. (The most salient of a union are among
        the most salient of its parts, so each chunk's choice can be made at once.)

    Returns
    -------
    MemoryView
        Of a batch of B G; at most `capacity` entries, hidden ones (bias -inf) included.
    kept : Tensor [B G, capacity] or None
        If a chunk sees only some entries: which of the new ones each is, negative for a stored one.
    """
    batch, each = bias.shape[0], bias.shape[1] // chunks
    chunk = torch.arange(chunks, device=bias.device)
    later = chunk.repeat_interleave(each) >= chunk[:, None]  # [G, G K]
    bias = bias[:, None, :].masked_fill(later, -math.inf)
    count = (chunk * each).to(torch.float32)[None].expand(batch, -1)
    if view is not None:
        keys = torch.cat([view.keys.to(keys.dtype), keys], dim=2)
        values = torch.cat([view.values.to(values.dtype), values], dim=2)
        bias = torch.cat([view.bias.to(bias.dtype)[:, None, :].expand(-1, chunks, -1), bias], dim=2)
        count = count + view.count[:, None]
    bias, count = bias.flatten(0, 1), count.flatten()
    stored = keys.shape[2] - chunks * each
    if capacity is None or keys.shape[2] <= capacity:
        keys, values = (x[:, None].expand(-1, chunks, -1, -1, -1).flatten(0, 1) for x in (keys, values))
        return MemoryView(keys, values, bias, count), None
    kept = bias.detach().topk(capacity, dim=1).indices.sort(dim=1).values
    keys, values = _take(keys, kept), _take(values, kept)
    return MemoryView(keys, values, bias.gather(1, kept), count.clamp(max=capacity)), kept - stored


def _take(entries: Tensor, kept: Tensor) -> Tensor:
    """Entries [B, H, N, d] that each of G chunks keeps, kept [B G, n]: [B G, H, n, d]."""
    batch, heads, total, width = entries.shape
    # Whole rows of all heads: copying (and, backwards, adding) long runs is what memory is fast at.
    rows = entries.transpose(1, 2).reshape(batch * total, heads * width)
    stream = torch.arange(batch, device=kept.device).repeat_interleave(kept.shape[0] // batch)
    taken = rows.index_select(0, (kept + total * stream[:, None]).flatten())
    return taken.view(*kept.shape, heads, width).transpose(1, 2)
