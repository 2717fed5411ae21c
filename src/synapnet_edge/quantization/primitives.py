"""Group-wise integer quantisation as pure functions: choose a scale, quantise, dequantise.

All functions see a weight as groups, ``[N, G, g]``: N output rows, G groups of g input features each.
Scales are rounded to FP16 BEFORE codes are chosen, so that what is stored is what was optimised. A code
difference times an FP16 scale is exact in FP32 (at most 8 + 11 significant bits); every path that
dequantises therefore gives the same bits, whatever the order of its operations.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Smallest normal FP16 number: below it a scale loses precision and finally becomes 0.
MIN_SCALE = 2.0**-14
MAX_FP16 = 65504.0


def to_groups(weight: Tensor, group: int) -> Tensor:
    """Split ``[N, K]`` into ``[N, ceil(K/group), group]``, padding the last group with zeros.

    Parameters
    ----------
    group : int
        Input features per group; 0 means one group for the whole row.
    """
    rows, columns = weight.shape
    group = group or columns
    padding = -columns % group
    return F.pad(weight, (0, padding)).reshape(rows, -1, group)


def from_groups(groups: Tensor, columns: int) -> Tensor:
    """Inverse of `to_groups`: ``[N, G, g]`` to ``[N, columns]``, dropping the padding."""
    return groups.flatten(1)[:, :columns]


def round_scale(scale: Tensor) -> Tensor:
    """Round scales to FP16 with a floor of `MIN_SCALE`; returns float32.

    Raises
    ------
    ValueError
        If a scale is not finite or does not fit FP16.
    """
    if not bool(torch.isfinite(scale).all()) or float(scale.max()) > MAX_FP16:
        raise ValueError(f"scale: found {float(scale.max())}, expected a finite value of at most {MAX_FP16}")
    return scale.clamp_min(MIN_SCALE).half().float()


def choose_symmetric(groups: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Scale and zero point, both ``[N, G]`` float32, that map the largest magnitude to the largest code.

    The zero point is 2^(bits-1) for every group; codes run from 1 to 2^bits - 1 (the lowest is not used).
    """
    largest = 2 ** (bits - 1) - 1
    scale = round_scale(groups.abs().amax(-1) / largest)
    return scale, torch.full_like(scale, 2 ** (bits - 1))


def choose_asymmetric(groups: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Scale and INTEGER zero point, both ``[N, G]`` float32, that cover the range of each group.

    The range always contains 0, so that a zero (padding included) is represented exactly.
    """
    low = groups.amin(-1).clamp_max(0.0)
    high = groups.amax(-1).clamp_min(0.0)
    largest = 2**bits - 1
    scale = round_scale((high - low) / largest)
    return scale, torch.round(-low / scale).clamp(0, largest)


def quantize(groups: Tensor, scale: Tensor, zero: Tensor, bits: int, *, symmetric: bool = False) -> Tensor:
    """Integer codes ``[N, G, g]`` (float32 values in 0 .. 2^bits - 1) nearest to the weights."""
    lowest = 1 if symmetric else 0
    codes = torch.round(groups / scale.unsqueeze(-1)) + zero.unsqueeze(-1)
    return codes.clamp(lowest, 2**bits - 1)


def dequantize(codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Weights ``[N, G, g]`` that the codes stand for: ``(code - zero) * scale``."""
    return (codes - zero.unsqueeze(-1)) * scale.unsqueeze(-1)
