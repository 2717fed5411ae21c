"""WriteableMemory: salient tokens of finished chunks, read by later chunks."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.models.attend import attend, attention_probabilities, merge_heads, split_heads
from synapnet_edge.models.state import EntryStore, MemoryView


class WriteableMemory(nn.Module):
    """Read: attention over stored entries and one learned "nothing here" slot. Write: the salient tokens.

    Read logits are scaled by `s_h log(1 + n)` (SSMax, 2501.19399; n = tokens the visible entries stand
    for, s learned per head), so that a match keeps its share of the softmax while the memory grows. The
    null slot has a zero value and a learned logit, so a query that matches nothing reads (almost) nothing.
    Entries carry no position. Their keys and values are projected once, when they are written.

    Parameters
    ----------
    dim, inner, heads : int
        Output width, width of the bound states, heads (heads divides dim).
    """

    def __init__(self, dim: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(inner, dim, bias=False)
        self.k_proj = nn.Linear(inner, dim, bias=False)
        self.v_proj = nn.Linear(inner, dim, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.ssmax = nn.Parameter(torch.full((heads,), 0.3))
        self.null_logit = nn.Parameter(torch.zeros(heads))

    def read(self, bound: Tensor, store: EntryStore, layer: int) -> Tensor:
        """Read for bound [B, T, inner]; returns [B, T, dim] (zeros while the memory is empty)."""
        view = store.read(layer)
        if view is None:
            return bound.new_zeros(*bound.shape[:2], self.o_proj.out_features)
        query = split_heads(self.q_proj(bound), self.heads)
        sharpness = self.ssmax[None, :] * torch.log1p(view.count)[:, None]  # [B, H]
        query = query * sharpness[:, :, None, None].to(query.dtype)
        keys, values, bias = self._with_null(view, query.dtype)
        if store.wants_mass:
            probabilities = attention_probabilities(query, keys, bias)
            store.observe_read(layer, probabilities[..., :-1].sum(dim=(1, 2), dtype=torch.float32))
            read = probabilities @ values
        else:
            read = attend(query, keys, values, bias)
        return self.o_proj(merge_heads(read))

    def select(self, log_salience: Tensor, slots: int) -> Tensor:
        """Indices [B, K] of the most salient tokens, in order of position."""
        slots = min(slots, log_salience.shape[1])
        return log_salience.topk(slots, dim=1).indices.sort(dim=1).values

    def write(
        self,
        bound: Tensor,
        log_salience: Tensor,
        slots: int,
        first_position: int,
        store: EntryStore,
        layer: int,
        quantizer: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Store the `slots` most salient of a finished chunk's bound states [B, C, inner]."""
        index = self.select(log_salience.detach(), slots)
        chosen = torch.gather(bound, 1, index[:, :, None].expand(-1, -1, bound.shape[-1]))
        keys, values = (
            split_heads(self.k_proj(chosen), self.heads),
            split_heads(self.v_proj(chosen), self.heads),
        )
        if quantizer is not None:
            keys, values = quantizer(keys), quantizer(values)
        store.write(layer, keys, values, torch.gather(log_salience, 1, index), first_position + index)

    def _with_null(self, view: MemoryView, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Append the null slot: keys and values [B, H, N + 1, d], bias [B, H, 1, N + 1]."""
        keys, values = F.pad(view.keys.to(dtype), (0, 0, 0, 1)), F.pad(view.values.to(dtype), (0, 0, 0, 1))
        batch = keys.shape[0]
        entry_bias = view.bias.to(dtype)[:, None, :].expand(-1, self.heads, -1)
        null_bias = self.null_logit.to(dtype)[None, :, None].expand(batch, -1, -1)
        return keys, values, torch.cat([entry_bias, null_bias], dim=2).unsqueeze(2)
