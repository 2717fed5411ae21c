"""SnapKV: votes of the last queries, pooled over neighbours (2404.14469, section 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from synapnet_edge.memory.scoring.window import protect_recent


def snapkv_votes(rows: Tensor, reduce_heads: bool = False) -> Tensor:
    """Sum of the probability rows [..., w, N] of the last w queries; with `reduce_heads` [H, w, N] -> [N]."""
    votes = rows.sum(dim=-2)
    return votes.sum(dim=-2) if reduce_heads else votes


def snapkv(
    votes: Tensor,
    window: int,
    *,
    kernel: int = 7,
    pool: str = "max",
    position: Tensor | None = None,
    live: Tensor | None = None,
) -> Tensor:
    """Pooled votes of all keys before the window; the window itself is kept.

    Parameters
    ----------
    votes : Tensor
        [..., N] probability each key received from the last queries (see `snapkv_votes`).
    window : int
        Newest keys kept; counted inside the capacity.
    kernel : int
        Odd width of the pooling, over neighbours in the order of the sequence: what surrounds a hit
        survives with it. Votes are pooled, not logits.
    pool : {"max", "avg"}
    position, live : Tensor, optional
        See `protect_recent`.

    Returns
    -------
    Tensor
        [..., N] float64.

    Raises
    ------
    ValueError
        For an even or non-positive kernel, or an unknown pooling.
    """
    if kernel < 1 or kernel % 2 == 0 or pool not in ("max", "avg"):
        raise ValueError(f"expected an odd kernel and pool 'max' or 'avg', got {kernel} and {pool!r}")
    count = votes.shape[-1]
    if position is None:
        position = torch.arange(count, device=votes.device).expand_as(votes)
    place = position.double() if live is None else position.double().masked_fill(~live, torch.inf)
    order = place.argsort(dim=-1, stable=True)
    before = votes.double() if live is None else votes.double().masked_fill(~live, 0.0)
    before = before.gather(-1, order)
    present = torch.full(votes.shape[:-1], count, device=votes.device) if live is None else live.sum(dim=-1)
    rank = torch.arange(count, device=votes.device)
    before = before.masked_fill(
        rank >= (present - window).unsqueeze(-1), 0.0
    )  # the window does not vote itself
    flat = before.reshape(-1, 1, count)
    if pool == "max":
        pooled = F.max_pool1d(flat, kernel, 1, kernel // 2)
    else:
        pooled = F.avg_pool1d(flat, kernel, 1, kernel // 2)
    scores = torch.empty_like(before).scatter_(-1, order, pooled.reshape(before.shape))
    return protect_recent(scores, window, position, live)
