"""Quantisers with one learned step per output row: the levels, their gradients, and the search of a start.

With one alpha per row of a weight ``[N, K]`` and z = w / alpha::

    q = (round(n * clip(z, low, high) - shift) + shift) / n        w_hat = alpha * q

`paretoq` (SEQ at 2 bits and ternary) and `lsq` (3 and 4 bits) are two settings of this formula.

Stored form: ``w_hat = step * (code - offset [+ 1/2])`` with ``step = alpha / n`` in FP16. Training rounds the
step the same way, hence fake-quantised and packed weights are equal bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synapnet_edge.quantization.fake_quant import WeightQuantizer
from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.quantization.primitives import MAX_FP16

MIN_ALPHA = 1e-5
# Candidates of the training-free search, as a share of the start. A Gaussian row of a few hundred weights has
# its optimum near 0.7 at 2 bits; heavy tails pull it down, so the grid reaches far below.
SEARCH_RATIOS = tuple(0.10 + 0.02 * i for i in range(58))


@dataclass(frozen=True)
class Levels:
    """The levels of one quantiser.

    Attributes
    ----------
    name : for messages.
    bits : width of a stored code.
    n : steps per alpha.
    shift : 0.5 for levels between the whole numbers (no zero), 0 for levels on them.
    low, high : where z is clipped.
    offset : code of the level at rounded value 0.
    positive : Qp of the gradient scale ``1 / sqrt(numel * Qp)``; numel is that of the whole matrix.
    largest : start of alpha = row maximum / `largest`.
    """

    name: str
    bits: int
    n: float
    shift: float
    low: float
    high: float
    offset: int
    positive: int
    largest: float = 1.0

    @property
    def zero(self) -> float:
        """Code that stands for weight 0; between two codes for 2-bit SEQ."""
        return self.offset - self.shift

    def start(self, weight: Tensor) -> Tensor:
        """The published start of alpha, ``[N, 1]``, from the float weight ``[N, K]``."""
        return weight.detach().abs().amax(1, keepdim=True) / self.largest

    def step(self, alpha: Tensor) -> Tensor:
        """Distance of two levels, alpha / n rounded to FP16 with alpha floored at 1e-5; float32.

        Raises
        ------
        ValueError
            If an alpha is not finite or its step does not fit FP16.
        """
        step = alpha.detach().float().clamp_min(MIN_ALPHA) / self.n
        if not bool(torch.isfinite(step).all()) or float(step.max()) > MAX_FP16:
            raise ValueError(
                f"alpha: found {float(alpha.max())}, expected a finite value of at most {self.n * MAX_FP16}"
            )
        return step.half().float()

    def codes(self, weight: Tensor, step: Tensor) -> Tensor:
        """Codes (whole float32 numbers from 0) of ``[N, K]`` weights for steps ``[N, 1]``."""
        clipped = (weight / (self.n * step)).clamp(self.low, self.high)
        return torch.round(self.n * clipped - self.shift) + self.offset

    def quantize(self, weight: Tensor, alpha: Tensor) -> Tensor:
        """Quantised weight ``[N, K]`` for alpha ``[N, 1]``; no gradient."""
        step = self.step(alpha)
        return (self.codes(weight.detach(), step) - self.zero) * step

    def pack(self, weight: Tensor, alpha: Tensor) -> PackedWeight:
        """Pack ``[N, K]`` weights with one FP16 step per row."""
        step = self.step(alpha)
        codes = self.codes(weight.detach().float(), step)
        half_step = self.shift == 0.5
        return PackedWeight.pack(codes, step, self.bits, zero=self.offset, half_step=half_step)


class RowStepFakeQuant(torch.autograd.Function):
    """The formula with the gradients of LSQ (Esser et al. 2020) and ParetoQ (arXiv 2502.02631).

    With z = w / alpha and upstream gradient g: the weight receives g where z lies in [low, high] and 0
    elsewhere; alpha receives the row sum of g * e, times 1 / sqrt(numel * Qp), where e = q - z inside and the
    outermost level outside. (ParetoQ's code takes 1 for ternary's outermost level; here it is 2/3, the level
    itself, which is the derivative of what is computed.)
    """

    @staticmethod
    def forward(ctx, weight: Tensor, alpha: Tensor, levels: Levels) -> Tensor:
        step = levels.step(alpha)
        ctx.levels = levels
        ctx.save_for_backward(weight, step)
        return (levels.codes(weight, step) - levels.zero) * step

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        levels: Levels = ctx.levels
        weight, step = ctx.saved_tensors
        z = weight / (levels.n * step)
        inside = (z >= levels.low) & (z <= levels.high)
        level = (levels.codes(weight, step) - levels.zero) / levels.n
        error = torch.where(inside, level - z, level)
        scale = 1.0 / math.sqrt(weight.numel() * levels.positive)
        return gradient * inside, scale * (gradient * error).sum(1, keepdim=True), None


class RowStepQuantizer(WeightQuantizer):
    """Trainable quantiser with one ``alpha [N, 1]``, which the optimiser finds by that name."""

    def __init__(self, levels: Levels, alpha: Tensor) -> None:
        super().__init__()
        self.levels = levels
        self.alpha = nn.Parameter(alpha.detach().float().clone())

    def forward(self, weight: Tensor) -> Tensor:
        return RowStepFakeQuant.apply(weight, self.alpha, self.levels)

    def pack(self, weight: Tensor) -> PackedWeight:
        return self.levels.pack(weight, self.alpha)


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


def search_alpha(weight: Tensor, second_moment: Tensor, levels: Levels) -> Tensor:
    """Training-free alpha ``[N, 1]``: per row the candidate of least output error on calibration data.

    The published start is among the candidates, so the result is never worse than it. This chooses a scale
    only; 2-bit accuracy needs training.
    """
    weight = weight.detach().float()
    start = levels.start(weight)
    best = start.clone()
    best_error = output_error(levels.quantize(weight, best) - weight, second_moment)
    for ratio in SEARCH_RATIOS:
        alpha = ratio * start
        error = output_error(levels.quantize(weight, alpha) - weight, second_moment)
        better = error < best_error
        best = torch.where(better.unsqueeze(1), alpha, best)
        best_error = torch.where(better, error, best_error)
    return best
