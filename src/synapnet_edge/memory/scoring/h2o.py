"""H2O: heavy hitters by accumulated attention (2306.14048, equation 3)."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.memory.scoring.window import protect_recent


def h2o(
    column_sums: Tensor,
    recent: int,
    *,
    position: Tensor | None = None,
    live: Tensor | None = None,
    observers: Tensor | None = None,
) -> Tensor:
    """Accumulated attention outside the recent window, which is kept.

    Parameters
    ----------
    column_sums : Tensor
        [..., N], attention probability each key received from all queries so far. A dropped key takes its
        sum with it.
    recent : int
        Newest keys kept whatever they score (half of the budget in the paper).
    position, live : Tensor, optional
        See `protect_recent`.
    observers : Tensor, optional
        [..., N] number of queries that could see each key. Given, the sum becomes a mean (the variant
        "observed attention"), which takes away the advantage of early keys.

    Returns
    -------
    Tensor
        [..., N] float64.
    """
    scores = column_sums.double()
    if observers is not None:
        scores = scores / observers.double().clamp_min(1)
    return protect_recent(scores, recent, position, live)
