"""Stretched elastic quantisation (SEQ) at 2 bits, as ParetoQ defines it (arXiv 2502.02631, NeurIPS 2025).

With one alpha per output row and z = w / alpha::

    q = (round(2 * clip(z, -0.99, 0.99) - 0.5) + 0.5) / 2        levels -3/4, -1/4, +1/4, +3/4
    w_hat = alpha * q

The clip stays inside 1 because round-half-even would otherwise open a fifth level at |z| = 1, which the
largest weight of every row hits at initialisation.

Stored form: code c in 0..3 with q = (c - 1.5) / 2, so ``w_hat = step * (c - 2) + step / 2`` with
``step = alpha / 2`` in FP16: an integer zero point and half a step. Training rounds the step the same way,
hence fake-quantised and packed weights are equal bit for bit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synapnet_edge.quantization.fake_quant import FakeQuantModule
from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.quantization.primitives import MAX_FP16

SEQ_BITS = 2
SEQ_ZERO = 1.5
CLIP = 0.99
MIN_ALPHA = 1e-5
OUTER_LEVEL = 0.75
# Candidates of the training-free search, as a share of the row's largest magnitude. A Gaussian row of a few
# hundred weights has its optimum near 0.7; heavy tails pull it down, so the grid reaches far below.
SEARCH_RATIOS = tuple(0.10 + 0.02 * i for i in range(58))


def initial_alpha(weight: Tensor) -> Tensor:
    """ParetoQ's initial alpha ``[N, 1]`` for 2 bits: the largest magnitude of each row of ``[N, K]``."""
    return weight.detach().abs().amax(1, keepdim=True)


def seq_step(alpha: Tensor) -> Tensor:
    """Distance of two levels, alpha / 2 rounded to FP16 with alpha floored at 1e-5; float32.

    Raises
    ------
    ValueError
        If an alpha is not finite or its step does not fit FP16.
    """
    step = alpha.detach().clamp_min(MIN_ALPHA) / 2
    if not bool(torch.isfinite(step).all()) or float(step.max()) > MAX_FP16:
        raise ValueError(
            f"alpha: found {float(alpha.max())}, expected a finite value of at most {2 * MAX_FP16}"
        )
    return step.half().float()


def seq_codes(weight: Tensor, step: Tensor) -> Tensor:
    """Codes 0..3 (float32 values) of ``[N, K]`` weights for steps ``[N, 1]``."""
    clipped = (weight / (2 * step)).clamp(-CLIP, CLIP)
    return torch.round(2 * clipped - 0.5) + 2


def seq_quantize(weight: Tensor, alpha: Tensor) -> Tensor:
    """Quantised weight ``[N, K]`` for alpha ``[N, 1]``; no gradient."""
    step = seq_step(alpha)
    return (seq_codes(weight.detach(), step) - SEQ_ZERO) * step


class SeqFakeQuant(torch.autograd.Function):
    """SEQ with ParetoQ's gradients.

    With z = w / alpha and upstream gradient g: the weight receives g where abs(z) <= 0.99 and 0 elsewhere;
    alpha receives the row sum of g * e, times 1 / sqrt(numel * Qp) with Qp = 2^(b-1) - 1 = 1, where
    e = q - z inside the clip range and the outer level +-0.75 outside.
    """

    @staticmethod
    def forward(ctx, weight: Tensor, alpha: Tensor) -> Tensor:
        step = seq_step(alpha)
        quantized = (seq_codes(weight, step) - SEQ_ZERO) * step
        ctx.save_for_backward(weight, step)
        return quantized

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        weight, step = ctx.saved_tensors
        z = weight / (2 * step)
        inside = z.abs() <= CLIP
        level = (seq_codes(weight, step) - SEQ_ZERO) / 2
        error = torch.where(inside, level - z, OUTER_LEVEL * z.sign())
        positive_levels = 2 ** (SEQ_BITS - 1) - 1
        scale = 1.0 / math.sqrt(weight.numel() * positive_levels)
        return gradient * inside, scale * (gradient * error).sum(1, keepdim=True)


class SEQLinear(FakeQuantModule, nn.Linear):
    """Linear layer whose weight passes through 2-bit SEQ; weight and alpha both train.

    Parameters are ``weight [N, K]``, ``alpha [N, 1]`` and, if the original had one, ``bias [N]``.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = False, **factory) -> None:
        super().__init__(in_features, out_features, bias=bias, **factory)
        self.alpha = nn.Parameter(initial_alpha(self.weight))

    @classmethod
    def from_linear(cls, linear: nn.Linear, alpha: Tensor | None = None) -> SEQLinear:
        """Copy a linear layer; `alpha` ``[N, 1]`` defaults to ParetoQ's initial value."""
        weight = linear.weight.detach()
        layer = cls(
            linear.in_features,
            linear.out_features,
            linear.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
        )
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.alpha.copy_(initial_alpha(weight) if alpha is None else alpha)
            if linear.bias is not None:
                layer.bias.copy_(linear.bias)
        return layer

    def quantized_weight(self) -> Tensor:
        return SeqFakeQuant.apply(self.weight, self.alpha)

    def pack(self) -> PackedWeight:
        return pack_seq(self.weight, self.alpha)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight_in_use(), self.bias)


def pack_seq(weight: Tensor, alpha: Tensor) -> PackedWeight:
    """Pack ``[N, K]`` weights at 2-bit SEQ with one FP16 step per row."""
    step = seq_step(alpha)
    codes = seq_codes(weight.detach().float(), step)
    return PackedWeight.pack(codes, step, SEQ_BITS, zero=math.ceil(SEQ_ZERO), half_step=True)


def output_error(delta: Tensor, second_moment: Tensor) -> Tensor:
    """Mean squared output error ``[N]`` that weight errors ``[N, K]`` cause: delta E[x x^T] delta^T per row.

    Parameters
    ----------
    second_moment : Tensor
        ``E[x x^T]`` as ``[K, K]``, or only its diagonal ``[K]`` (inputs taken as uncorrelated).
    """
    if second_moment.dim() == 1:
        return (delta.square() * second_moment).sum(1)
    return ((delta @ second_moment) * delta).sum(1)


def search_alpha(weight: Tensor, second_moment: Tensor) -> Tensor:
    """Training-free alpha ``[N, 1]``: per row the candidate of least output error on calibration data.

    The largest magnitude (ratio 1, ParetoQ's initial value) is among the candidates, so the result is never
    worse than it. This chooses a scale only; 2-bit accuracy needs training.
    """
    weight = weight.detach().float()
    largest = initial_alpha(weight)
    best = largest.clone()
    best_error = output_error(seq_quantize(weight, best) - weight, second_moment)
    for ratio in SEARCH_RATIOS:
        alpha = ratio * largest
        error = output_error(seq_quantize(weight, alpha) - weight, second_moment)
        better = error < best_error
        best = torch.where(better.unsqueeze(1), alpha, best)
        best_error = torch.where(better, error, best_error)
    return best
