"""Masked multi-head attention in the form that is fastest on a CPU for the job at hand."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Return `softmax(q k^T / sqrt(d) + bias) v`, [B, H, T, d].

    Parameters
    ----------
    query : Tensor
        [B, H, T, d].
    keys, values : Tensor
        [B, H, N, d].
    bias : Tensor
        Additive logits, broadcastable to [B, H, T, N]; -inf hides a key. At least one key must be visible.
    """
    bias = bias.to(query.dtype)
    if not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=bias)
    # The fused CPU kernel has no gradient for a mask, and its backward is several times slower than
    # three batched products (measured with bfloat16 on one core).
    return attention_probabilities(query, keys, bias) @ values


def attention_probabilities(query: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    """Softmax weights [B, H, T, N] of `attend`."""
    logits = (query * (1.0 / math.sqrt(query.shape[-1]))) @ keys.transpose(-1, -2)
    return (logits + bias.to(logits.dtype)).softmax(dim=-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, T, H * d] -> [B, H, T, d]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, H, T, d] -> [B, T, H * d]."""
    return x.transpose(1, 2).flatten(2)
