"""TOVA: the attention of the last query (2401.06104, section 3)."""

from __future__ import annotations

from torch import Tensor


def tova(last_row: Tensor) -> Tensor:
    """Mean over heads of the last query's probabilities: [..., H, N] -> [..., N]."""
    return last_row.float().mean(dim=-2)
