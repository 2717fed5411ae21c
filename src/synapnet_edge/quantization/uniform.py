"""Group-wise integer weights: round to nearest (RTN), the output-error clip search, and the trainable form.

The clip search is the second half of AWQ (arXiv 2306.00978): for each (row, group) the largest magnitude is
shrunk to the share that loses least output on calibration data. The first half, the search of input scales
that are folded into the layer before, is in `awq`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from synapnet_edge.quantization.fake_quant import WeightQuantizer
from synapnet_edge.quantization.packing import DEFAULT_BLOCK, PackedWeight
from synapnet_edge.quantization.primitives import (
    choose_asymmetric,
    choose_symmetric,
    dequantize,
    from_groups,
    quantize,
    to_groups,
)
from synapnet_edge.quantization.recipe import Scheme
from synapnet_edge.quantization.scheme import SchemeHandler, required

# Shares of a group's largest magnitude that the clip search tries: 1.00, 0.95, ... 0.55.
CLIP_RATIOS = tuple(1 - i / 20 for i in range(10))


def integer_codes(
    weight: Tensor, bits: int, group: int, symmetric: bool, ratio: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes ``[N, G, g]``, scales ``[N, G]`` and zero points ``[N, G]`` of a weight ``[N, K]``.

    Parameters
    ----------
    group : int
        Input features that share a scale; 0 = the whole row.
    ratio : Tensor, optional
        ``[N, G]`` share of each group's largest magnitude at which weights are clipped; None = 1.
    """
    groups = clip_groups(to_groups(weight.detach().float(), group), ratio)
    scale, zero = (choose_symmetric if symmetric else choose_asymmetric)(groups, bits)
    return quantize(groups, scale, zero, bits, symmetric=symmetric), scale, zero


def clip_groups(groups: Tensor, ratio: Tensor | None) -> Tensor:
    """Clamp every group of ``[N, G, g]`` to `ratio` ``[N, G]`` times its largest magnitude."""
    if ratio is None:
        return groups
    bound = (groups.abs().amax(-1) * ratio).unsqueeze(-1)
    return torch.minimum(torch.maximum(groups, -bound), bound)


def integer_quantize(
    weight: Tensor, bits: int, group: int, symmetric: bool, ratio: Tensor | None = None
) -> Tensor:
    """Quantised weight ``[N, K]``; no gradient."""
    codes, scale, zero = integer_codes(weight, bits, group, symmetric, ratio)
    return from_groups(dequantize(codes, scale, zero), weight.shape[1])


def pack_integer(
    weight: Tensor, bits: int, group: int, symmetric: bool, ratio: Tensor | None = None
) -> PackedWeight:
    """Pack a weight ``[N, K]``; symmetric schemes store no zero points."""
    codes, scale, zero = integer_codes(weight, bits, group, symmetric, ratio)
    return PackedWeight.pack(
        from_groups(codes, weight.shape[1]),
        scale,
        bits,
        zeros=None if symmetric else zero,
        zero=2 ** (bits - 1) if symmetric else 0,
        block=group or DEFAULT_BLOCK,
    )


def search_clip(weight: Tensor, second_moment: Tensor, bits: int, group: int, symmetric: bool) -> Tensor:
    """Clip ratios ``[N, G]`` of least output error on calibration data.

    Each group is searched on its own: its error is the mean over tokens of (x_group . delta_group)^2, which
    the diagonal block of E[x x^T] gives exactly. Ratio 1 (no clipping) is a candidate, so it never grows.

    Parameters
    ----------
    second_moment : Tensor
        E[x x^T] ``[K, K]``, or its diagonal ``[K]``.
    """
    groups = to_groups(weight.detach().float(), group)
    blocks = _diagonal_blocks(second_moment.float(), groups.shape[1], groups.shape[2])
    best = torch.ones_like(groups[..., 0])
    best_error = torch.full_like(best, torch.inf)
    for value in CLIP_RATIOS:
        ratio = torch.full_like(best, value)
        codes, scale, zero = integer_codes(weight, bits, group, symmetric, ratio)
        delta = dequantize(codes, scale, zero) - groups
        error = torch.einsum("ngi,gij,ngj->ng", delta, blocks, delta)
        better = error < best_error
        best = torch.where(better, ratio, best)
        best_error = torch.where(better, error, best_error)
    return best


def _diagonal_blocks(second_moment: Tensor, count: int, size: int) -> Tensor:
    """The ``[G, g, g]`` blocks on the diagonal of E[x x^T]; padded features count for nothing."""
    full = torch.diag(second_moment) if second_moment.dim() == 1 else second_moment
    padding = count * size - full.shape[0]
    full = F.pad(full, (0, padding, 0, padding)).view(count, size, count, size)
    return full.diagonal(dim1=0, dim2=2).permute(2, 0, 1)


class IntegerFakeQuant(torch.autograd.Function):
    """Group-wise integer quantisation whose gradient passes straight through inside the clip range."""

    @staticmethod
    def forward(ctx, weight: Tensor, bits: int, group: int, symmetric: bool, ratio: Tensor | None) -> Tensor:
        groups = to_groups(weight, group)
        ctx.save_for_backward(from_groups(clip_groups(groups, ratio) == groups, weight.shape[1]))
        return integer_quantize(weight, bits, group, symmetric, ratio)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None, None, None


class IntegerQuantizer(WeightQuantizer):
    """Trainable integer quantiser: bits, group and the clip ratios, which stay while the weight trains."""

    def __init__(self, bits: int, group: int, symmetric: bool = False, ratio: Tensor | None = None) -> None:
        super().__init__()
        self.bits, self.group, self.symmetric = bits, group, symmetric
        self.register_buffer("clip_ratio", ratio)

    def forward(self, weight: Tensor) -> Tensor:
        return IntegerFakeQuant.apply(weight, self.bits, self.group, self.symmetric, self.clip_ratio)

    def pack(self, weight: Tensor) -> PackedWeight:
        return pack_integer(weight, self.bits, self.group, self.symmetric, self.clip_ratio)


class IntegerScheme(SchemeHandler):
    """Round to nearest in groups, with the clip search where the scheme asks for it."""

    def pack(self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None) -> PackedWeight:
        ratio = _ratio(weight, scheme, required(second_moment, scheme)) if scheme.clip_search else None
        return pack_integer(weight, scheme.bits, scheme.group, scheme.symmetric, ratio)

    def quantizer(
        self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None, alpha_init: str
    ) -> WeightQuantizer:
        ratio = None
        if scheme.clip_search and second_moment is not None:
            ratio = _ratio(weight, scheme, second_moment)
        return IntegerQuantizer(scheme.bits, scheme.group, scheme.symmetric, ratio)


def _ratio(weight: Tensor, scheme: Scheme, second_moment: Tensor) -> Tensor:
    return search_clip(weight, second_moment, scheme.bits, scheme.group, scheme.symmetric)


INTEGER_SCHEME = IntegerScheme()
