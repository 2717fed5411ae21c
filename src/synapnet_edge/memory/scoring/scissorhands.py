"""Scissorhands: keys that were rarely important in a recent history go first (2305.17118, algorithm 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.memory.scoring.window import protect_recent


def low_counts(probabilities: Tensor, visible: Tensor, mask: Tensor | None = None) -> Tensor:
    """How often each key's weight is low, that is below an even share of the keys its query could see.

    Parameters
    ----------
    probabilities : Tensor
        [..., T, N] rows of the history window.
    visible : Tensor
        [..., T] number of keys each query could see.
    mask : Tensor, optional
        [..., T, N] bool, which keys those were; by default every query saw all N.

    Returns
    -------
    Tensor
        [..., N] int64.
    """
    low = probabilities < 1.0 / visible.to(probabilities.dtype).unsqueeze(-1)
    return (low if mask is None else low & mask).sum(dim=-2)


def scissorhands(
    low: Tensor, recent: int = 10, *, position: Tensor | None = None, live: Tensor | None = None
) -> Tensor:
    """Fewest low counts stay; ties go to the newer key; the last `recent` keys are never dropped.

    Parameters
    ----------
    low : Tensor
        [..., N] low counts within the history window (400 queries in the paper).
    recent : int
        10 in the paper.
    position, live : Tensor, optional
        See `protect_recent`.

    Returns
    -------
    Tensor
        [..., N] float64. The paper drops half of the budget in one go when it is exceeded; how many keys
        leave at once is the caller's choice.
    """
    if position is None:
        position = torch.arange(low.shape[-1], device=low.device).expand_as(low)
    newer = position.double() / 2.0**32  # below one count: breaks ties only
    return protect_recent(newer - low.double(), recent, position, live)
