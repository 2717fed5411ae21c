"""Group-wise integer weights: round to nearest, optional output-error clip search, and fake-quant layers.

The INT4 scheme with clip search is "int4 with output-error clip search": for each (row, group) the largest
magnitude is shrunk to the share that loses least output on calibration data. No scale of the inputs is
searched and nothing is folded into neighbouring layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synapnet_edge.quantization.fake_quant import FakeQuantModule
from synapnet_edge.quantization.packing import DEFAULT_BLOCK, PackedWeight
from synapnet_edge.quantization.primitives import (
    choose_asymmetric,
    choose_symmetric,
    dequantize,
    from_groups,
    quantize,
    to_groups,
)

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


class _IntegerWeight(FakeQuantModule):
    """What the linear and the embedding layer share: bits, group and the clip ratios."""

    weight: Tensor

    def set_scheme(self, bits: int, group: int, symmetric: bool, ratio: Tensor | None) -> None:
        """Fix the scheme; `ratio` ``[N, G]`` stays as it is while the weight trains."""
        self.bits, self.group, self.symmetric = bits, group, symmetric
        self.register_buffer("clip_ratio", ratio)

    def quantized_weight(self) -> Tensor:
        return IntegerFakeQuant.apply(self.weight, self.bits, self.group, self.symmetric, self.clip_ratio)

    def pack(self) -> PackedWeight:
        return pack_integer(self.weight, self.bits, self.group, self.symmetric, self.clip_ratio)


class IntLinear(_IntegerWeight, nn.Linear):
    """Linear layer with a fake-quantised integer weight (INT4 for the attention of CAJQ)."""

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, bits: int, group: int, symmetric: bool = False, ratio: Tensor | None = None
    ) -> IntLinear:
        """Copy a linear layer under the given scheme."""
        weight = linear.weight.detach()
        layer = cls(
            linear.in_features,
            linear.out_features,
            linear.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
        )
        layer.load_state_dict(linear.state_dict())
        layer.set_scheme(bits, group, symmetric, ratio)
        return layer

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight_in_use(), self.bias)


class IntEmbedding(_IntegerWeight, nn.Embedding):
    """Embedding table with a fake-quantised integer weight."""

    @classmethod
    def from_embedding(
        cls,
        embedding: nn.Embedding,
        bits: int,
        group: int,
        symmetric: bool = False,
        ratio: Tensor | None = None,
    ) -> IntEmbedding:
        """Copy an embedding table under the given scheme."""
        weight = embedding.weight.detach()
        layer = cls(
            embedding.num_embeddings,
            embedding.embedding_dim,
            padding_idx=embedding.padding_idx,
            device=weight.device,
            dtype=weight.dtype,
        )
        layer.load_state_dict(embedding.state_dict())
        layer.set_scheme(bits, group, symmetric, ratio)
        return layer

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight_in_use(), self.padding_idx)
