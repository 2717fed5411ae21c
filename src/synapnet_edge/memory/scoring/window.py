"""Windows of recent keys that a method keeps whatever they score, and the choice of what stays."""

from __future__ import annotations

import torch
from torch import Tensor

#: Added to protected keys. Scores must stay below it, and ranks among protected keys stay visible in float64.
PROTECTED = 1e12


def protect_recent(
    scores: Tensor, recent: int, position: Tensor | None = None, live: Tensor | None = None
) -> Tensor:
    """Scores [..., N] in float64 with the `recent` keys of highest position lifted above all others.

    Parameters
    ----------
    scores : Tensor
        [..., N], absolute values below `PROTECTED`.
    recent : int
        Keys to protect; more than there are protects all.
    position : Tensor, optional
        [..., N] token index; by default keys stand in order.
    live : Tensor, optional
        [..., N] bool; other places are never protected.

    Raises
    ------
    ValueError
        If `recent` is negative.
    """
    if recent < 0:
        raise ValueError(f"recent must not be negative, got {recent}")
    scores = scores.double()
    if position is None:
        position = torch.arange(scores.shape[-1], device=scores.device).expand_as(scores)
    place = position.double()
    if live is not None:
        place = place.masked_fill(~live, -torch.inf)
    count = min(recent, scores.shape[-1])
    if not count:
        return scores
    newest = place.topk(count, dim=-1)
    lift = PROTECTED + newest.values.clamp_min(0)  # newest first, should even the window not fit
    return scores.scatter_add(-1, newest.indices, lift.masked_fill(newest.values.isneginf(), 0.0))


def keep_indices(scores: Tensor, capacity: int) -> Tensor:
    """Indices [..., k] of the `capacity` best keys in the order in which they stand; ties: the earlier."""
    if capacity < 0:
        raise ValueError(f"capacity must not be negative, got {capacity}")
    order = scores.argsort(dim=-1, descending=True, stable=True)
    return order[..., :capacity].sort(dim=-1).values
