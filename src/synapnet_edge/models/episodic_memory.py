"""WriteableMemory: salient tokens of finished chunks, read together with the chunk that is still open."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.models.attend import (
    attend,
    attend_observed,
    attention_probabilities,
    merge_heads,
    normalised_heads,
    softmax_parts,
    split_heads,
)
from synapnet_edge.models.chunk_views import stack_chunks, view_per_chunk
from synapnet_edge.models.state import EntryStore, InPlaceEntries, MemoryView


class Pending(NamedTuple):
    """Tokens of a chunk that are not written yet.

    Attributes
    ----------
    keys, values : Tensor [B, H, p, d]
    log_salience : Tensor [B, p] float32
    """

    keys: Tensor
    values: Tensor
    log_salience: Tensor


class WriteableMemory(nn.Module):
    """Read: one softmax over stored entries, the open chunk and a null slot. Write: the salient tokens.

    The tokens of the open chunk take part in the read as entries that are not written yet. So a fact is
    found in the same way before and after it is written, its share of the softmax does not jump at a chunk's
    edge (averages and counts over the whole past stay averages), and reading is trained from the first short
    sequence on. A token does not read itself: where equal tokens match it would match its own query, and
    take half of the read.

    Queries and keys are normalised, and read logits are scaled by `c_h + s_h log(1 + n)` (SSMax, 2501.19399,
    with a constant; n = entries and open tokens visible to the query), so that a match can keep its share
    while the memory grows. The logit of the null slot is the learned share `null_level` of a perfect
    match's, at any scale, and its value is zero. Well below 1 a query that matches nothing reads nothing;
    at about 1 the read grows with the number of matches as m / (m + 1), whatever n is. The last feature of
    every other value is 1, so the last feature of a read is the share that was found, times a learned gain: a
    count that does not depend on what was counted. Entries carry no position.

    Parameters
    ----------
    dim, inner, heads : int
        Output width, width of the bound states, heads (heads divides dim).
    ssmax : bool
        Whether the scale grows with log(1 + n); without it the scale is the constant alone.
    """

    def __init__(self, dim: int, inner: int, heads: int, ssmax: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(inner, dim, bias=False)
        self.k_proj = nn.Linear(inner, dim, bias=False)
        self.v_proj = nn.Linear(inner, dim, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.sharpness = nn.Parameter(torch.ones(heads))
        self.ssmax = nn.Parameter(torch.full((heads,), 0.1)) if ssmax else None
        self.null_level = nn.Parameter(torch.full((heads,), 0.5))
        self.found_gain = nn.Parameter(torch.ones(heads))

    def project(self, bound: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, T, d] of bound states [B, T, inner]; a value's last feature is 1."""
        keys = normalised_heads(self.k_proj(bound), self.heads)
        values = split_heads(self.v_proj(bound), self.heads)
        found = _last_feature(values)
        return keys, torch.addcmul(found, values, 1 - found)

    def read(
        self,
        bound: Tensor,
        pending: Pending,
        store: EntryStore,
        layer: int,
        written: Pending | None = None,
        chunks: int = 1,
        watch: Callable[[Tensor, Tensor | None], None] | None = None,
    ) -> Tensor:
        """Read for bound [B, T, inner], the last T of the `pending` tokens; returns [B, T, dim].

        With `chunks` = G > 1 the T = G C tokens are G whole chunks: each sees its own tokens, the stored
        entries and, of `written` [B, H, G K, d], what the chunks before it wrote. `watch`
        receives the probabilities [B G, H, T, N + p + 1] and what `view_per_chunk` says about the N.
        """
        if chunks == 1 and watch is None and not torch.is_grad_enabled() and not store.wants_blocks:
            entries = store.in_place(layer)
            if entries is not None:
                return self._read_in_place(bound, pending, entries, store, layer)
        view, kept = store.read(layer), None
        if chunks > 1:
            view, kept = view_per_chunk(view, *written, chunks, store.capacity)
            bound = bound.unflatten(1, (chunks, -1)).flatten(0, 1)
            pending = Pending(*(stack_chunks(part, chunks) for part in pending))
        query, keys, values, bias = self._joint(bound, pending, view)
        if store.wants_queries:
            store.observe_queries(layer, query)
        if store.wants_mass:
            watch_blocks = store.watch_blocks(layer, bias)
            read, mass = attend_observed(query, keys, values, bias, watch_blocks)
            if view is not None:
                store.observe_read(layer, mass[:, : view.bias.shape[1]])
        elif watch is not None:
            probabilities = attention_probabilities(query, keys, bias)
            watch(probabilities, kept)
            read = probabilities @ values
        else:
            read = attend(query, keys, values, bias)
        read = self._read_out(read)
        return read.unflatten(0, (-1, chunks)).flatten(1, 2) if chunks > 1 else read

    def select(
        self,
        pending: Pending,
        slots: int,
        chunks: int = 1,
        quantizer: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Pending, Tensor]:
        """Entries of the `slots` most salient tokens of each chunk, and their indices [B, chunks * slots]."""
        scores = pending.log_salience.detach().unflatten(1, (chunks, -1))
        length = scores.shape[2]
        index = scores.topk(min(slots, length), dim=2).indices.sort(dim=2).values
        index = (index + length * torch.arange(chunks, device=index.device)[:, None]).flatten(1)
        where = index[:, None, :, None].expand(-1, self.heads, -1, pending.keys.shape[3])
        keys, values = pending.keys.gather(2, where), pending.values.gather(2, where)
        if quantizer is not None:
            keys, values = quantizer(keys), quantizer(values)
        return Pending(keys, values, pending.log_salience.gather(1, index)), index

    def _read_in_place(
        self, bound: Tensor, pending: Pending, entries: InPlaceEntries, store: EntryStore, layer: int
    ) -> Tensor:
        """As `read`: first the open chunk and the null slot, then the entries, in one softmax."""
        query, keys, values, bias = self._joint(bound, pending, None, entries.count)
        if store.wants_queries:
            store.observe_queries(layer, query)
        parts = softmax_parts(query @ keys.transpose(-1, -2) + bias, values)
        read, mass = entries.attend(query, *parts, store.wants_mass)
        if mass is not None:
            store.observe_read(layer, mass)
        return self._read_out(read.to(query.dtype))

    def _read_out(self, read: Tensor) -> Tensor:
        """[B, H, T, d] -> [B, T, dim]: the share that was found gets its gain, and heads are mixed."""
        found = _last_feature(read)
        read = read * torch.addcmul(1 - found, found, self.found_gain[:, None, None].to(read.dtype))
        return self.o_proj(merge_heads(read))

    def _joint(
        self, bound: Tensor, pending: Pending, view: MemoryView | None, stored: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scaled queries [B, H, T, d]; keys and values [B, H, N + p + 1, d]; bias [B, 1, T, N + p + 1].

        Without a view N = 0; `stored` [B] are then the tokens that queries see elsewhere.
        """
        batch, length = bound.shape[:2]
        open_tokens = pending.log_salience.shape[1]
        at = torch.arange(open_tokens - length, open_tokens, device=bound.device)
        hidden = torch.arange(open_tokens, device=bound.device) >= at[:, None]  # itself and the future
        bias = pending.log_salience[:, None, :].masked_fill(hidden, -math.inf)
        keys, values, seen = [pending.keys], [pending.values], at.to(torch.float32)[None]
        if stored is not None:
            seen = seen + stored[:, None]
        if view is not None:
            keys.insert(0, view.keys.to(pending.keys.dtype))
            values.insert(0, view.values.to(pending.values.dtype))
            bias = torch.cat([view.bias.to(bias.dtype)[:, None, :].expand(-1, length, -1), bias], dim=2)
            seen = seen + view.count[:, None]
        keys.append(self._null_key(batch, pending.keys.dtype))
        values.append(torch.zeros_like(keys[-1]))
        query = normalised_heads(self.q_proj(bound), self.heads)
        answers_null = _last_feature(query)
        query = torch.addcmul(answers_null, query, 1 - answers_null)
        query = query * self._scale(seen)[..., None].to(query.dtype)
        return query, torch.cat(keys, 2), torch.cat(values, 2), F.pad(bias, (0, 1)).unsqueeze(1)

    def _null_key(self, batch: int, dtype: torch.dtype) -> Tensor:
        """Key [B, H, 1, d] of the null slot: it answers to a query's last feature, which is always 1."""
        width = self.o_proj.in_features // self.heads
        key = self.null_level[:, None] * width * _last_feature(self.null_level.new_empty(width))
        return key.to(dtype)[None, :, None].expand(batch, -1, -1, -1)

    def _scale(self, seen: Tensor) -> Tensor:
        """Factor of the queries for `seen` [B, T] visible tokens, [B, H, T]."""
        scale = self.sharpness[None, :, None]
        if self.ssmax is not None:
            scale = scale + self.ssmax[None, :, None] * torch.log1p(seen)[:, None, :]
        return scale / math.sqrt(self.o_proj.in_features // self.heads)


def _last_feature(like: Tensor) -> Tensor:
    """The unit vector [d] of the last feature, in the dtype of `like` [..., d]."""
    width = like.shape[-1]
    return (torch.arange(width, device=like.device) == width - 1).to(like.dtype)
