"""Expected attention: what future queries, taken as Gaussian, would read (2510.00636, equations 5 to 8)."""

from __future__ import annotations

import torch
from torch import Tensor


class QueryMoments:
    """Running mean and covariance of queries [..., d], as sums: blocks may come in any sizes.

    Parameters
    ----------
    shape : tuple of int
        Leading axes that are kept apart, such as (streams, heads).
    width : int
        Channels d.
    """

    def __init__(self, shape: tuple[int, ...], width: int, device: torch.device | None = None) -> None:
        self.count = 0
        self.total = torch.zeros(*shape, width, device=device)
        self.squares = torch.zeros(*shape, width, width, device=device)

    def add(self, queries: Tensor) -> None:
        """Add queries [..., T, d]."""
        queries = queries.float()
        self.total += queries.sum(dim=-2)
        self.squares += queries.transpose(-1, -2) @ queries
        self.count += queries.shape[-2]

    @property
    def mean(self) -> Tensor:
        """[..., d]."""
        return self.total / max(1, self.count)

    @property
    def covariance(self) -> Tensor:
        """[..., d, d], with the divisor n."""
        mean = self.mean
        return self.squares / max(1, self.count) - mean.unsqueeze(-1) * mean.unsqueeze(-2)


def expected_attention(
    keys: Tensor,
    values: Tensor,
    mean: Tensor,
    covariance: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    epsilon: float = 0.0,
) -> Tensor:
    """softmax over keys of (k.mu + k'Sk / 2), times ||v||.

    Parameters
    ----------
    keys, values : Tensor
        [..., N, d].
    mean, covariance : Tensor
        [..., d] and [..., d, d] of the queries as they enter the logits: if those have a factor 1/sqrt(d),
        mu/sqrt(d) and S/d of the plain queries. Rotary positions: average the rotation over the next
        positions into both before the call.
    bias : Tensor, optional
        [..., N] added to the logits; -inf hides a key.
    epsilon : float
        Added to the probability before it is multiplied by the norm.

    Returns
    -------
    Tensor
        [..., N] float32.
    """
    keys = keys.float()
    logits = (keys * mean.float().unsqueeze(-2)).sum(dim=-1)
    if covariance is not None:
        logits = logits + ((keys @ covariance.float()) * keys).sum(dim=-1) / 2
    if bias is not None:
        logits = logits + bias
    return (logits.softmax(dim=-1) + epsilon) * values.float().norm(dim=-1)
