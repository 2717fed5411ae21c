"""Knorm: keys of small norm are read most (2406.11430)."""

from __future__ import annotations

from torch import Tensor


def knorm(keys: Tensor) -> Tensor:
    """-||k|| over the last axis: [..., N, d] -> [..., N]."""
    return -keys.float().norm(dim=-1)
