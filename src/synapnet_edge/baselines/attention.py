"""Causal attention with rotary positions over a cache of keys and values that grows with the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FUSED_FROM = 512  # keys from which on the fused kernel is faster in bfloat16 on a CPU (5 times slower at 64)
QUERY_BLOCK = 512  # queries of a local layer processed at once


@dataclass
class KVState:
    """Keys (rotated) and values [B, G, N, d] of the tokens so far; None before the first."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> None:
        """Add the keys and values of new tokens."""
        self.keys = keys if self.keys is None else torch.cat([self.keys, keys], 2)
        self.values = values if self.values is None else torch.cat([self.values, values], 2)

    def keep(self, first: int, last: int) -> None:
        """Forget all but the `first` oldest and the `last` newest tokens."""
        if self.keys is not None and self.keys.shape[2] > first + last:
            parts = (slice(None, first), slice(self.keys.shape[2] - last, None))
            self.keys = torch.cat([self.keys[:, :, part] for part in parts], 2)
            self.values = torch.cat([self.values[:, :, part] for part in parts], 2)

    def nbytes(self) -> int:
        """Bytes for one stream, in FP16."""
        return 0 if self.keys is None else 2 * (self.keys[0].numel() + self.values[0].numel())


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding (arXiv 2104.09864) of x [B, H, T, d]; cos and sin [1, T, d]."""
    first, second = x.chunk(2, -1)
    return (x * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]).to(x.dtype)


def angles(positions: Tensor, head_dim: int, theta: float) -> dict[str, Tensor]:
    """Cosines and sines [1, T, d] (float32) of the rotary embedding at `positions` [T].

    Computed anew in float32 rather than from a module's buffer, which a model in bfloat16 would round.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    turned = (positions.float()[:, None] / theta**exponents).repeat(1, 2)[None]
    return {"cos": turned.cos(), "sin": turned.sin()}


def project(module: Any, u: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries [B, H, T, d], rotated keys and values [B, G, T, d] of a library attention module."""
    q, k, v = (
        proj(u).unflatten(-1, (-1, module.head_dim)).transpose(1, 2)
        for proj in (module.q_proj, module.k_proj, module.v_proj)
    )
    return rotate(q, cos, sin), rotate(k * getattr(module, "key_multiplier", 1.0), cos, sin), v


def attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of q [B, H, T, d] over keys [B, G, N, d], whose last T belong to the queries; [B, T, H*d].

    `mask` [T, N] (True = visible) replaces the causal one.
    """
    length, total = q.shape[2], keys.shape[2]
    group = q.shape[1] // keys.shape[1]
    if group > 1:
        keys, values = (t.repeat_interleave(group, 1) for t in (keys, values))
    causal = mask is None and length == total and length > 1
    if mask is None and 1 < length < total:
        mask = visible(length, total, q.device)
    keys, values = keys.to(q.dtype), values.to(q.dtype)
    if length > 1 and total <= FUSED_FROM and q.dtype == torch.bfloat16:
        out = _short(q, keys, values, visible(length, total, q.device) if mask is None else mask)
    else:
        out = F.scaled_dot_product_attention(q, keys, values, mask, is_causal=causal)
    return out.transpose(1, 2).flatten(2)


def _short(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention [B, H, T, d] by plain products."""
    shape, width = q.shape, q.shape[-1]
    hidden = torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill(~mask, -torch.inf)
    q, keys, values = (t.flatten(0, 1) for t in (q, keys, values))
    with torch.autocast(q.device.type, enabled=False):
        logits = torch.baddbmm(hidden.expand(len(q), -1, -1), q, keys.transpose(1, 2), alpha=width**-0.5)
        return torch.bmm(logits.softmax(-1), values).view(shape)


def attend_locally(q: Tensor, keys: Tensor, values: Tensor, window: int, sinks: int) -> Tensor:
    """As `attend`, but a query sees only the `sinks` first keys and the last `window`, itself included."""
    length, total = q.shape[2], keys.shape[2]
    outputs = []
    for start in range(0, length, QUERY_BLOCK):
        stop = min(length, start + QUERY_BLOCK)
        end = total - length + stop
        low = max(sinks, total - length + start - window + 1)
        spans = ((0, min(sinks, end)), (min(low, end), end))
        index = torch.cat([torch.arange(*span, device=q.device) for span in spans])
        query = torch.arange(total - length + start, end, device=q.device)[:, None]
        mask = (index <= query) & ((index > query - window) | (index < sinks))
        outputs.append(attend(q[:, :, start:stop], keys[:, :, index], values[:, :, index], mask))
    return torch.cat(outputs, 1)


def visible(length: int, total: int, device: torch.device) -> Tensor:
    """[T, N] bool: query t stands at key N - T + t and sees the keys up to there."""
    return torch.ones(length, total, dtype=torch.bool, device=device).tril(total - length)
