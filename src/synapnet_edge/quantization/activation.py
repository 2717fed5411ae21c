"""INT8 activations: one symmetric scale per token, chosen anew for every token (SmoothQuant's dynamic form).

A token's codes are whole numbers of at most 127, which float32 and bfloat16 both hold exactly. The product of
codes and weights is taken first and the scale applied afterwards, as an integer kernel does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST_CODE = 127
MIN_TOKEN_SCALE = 1e-8  # of an all-zero token; scales of activations are never stored


def quantize_tokens(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Int8 codes ``[..., K]`` of activations and their scales ``[..., 1]`` in the inputs' dtype, one a token.

    The codes are chosen for the rounded scale.
    """
    values = inputs.detach().float()
    scale = values.abs().amax(-1, keepdim=True) / LARGEST_CODE
    scale = scale.clamp_min(MIN_TOKEN_SCALE).to(inputs.dtype)
    codes = torch.round(values / scale.float()).clamp(-LARGEST_CODE, LARGEST_CODE)
    return codes.to(torch.int8), scale


class _TokenCodes(torch.autograd.Function):
    """Codes in the inputs' dtype; the gradient of ``codes * scale`` passes straight to the inputs."""

    @staticmethod
    def forward(ctx, inputs: Tensor) -> tuple[Tensor, Tensor]:
        codes, scale = quantize_tokens(inputs)
        ctx.save_for_backward(scale)
        ctx.mark_non_differentiable(scale)
        return codes.to(inputs.dtype), scale

    @staticmethod
    def backward(ctx, gradient: Tensor, _scale: Tensor) -> Tensor:
        (scale,) = ctx.saved_tensors
        return gradient / scale  # the product with the scale comes after, so x = codes * scale has gradient 1


def int8_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Linear map of INT8-coded inputs ``[..., K]`` by a weight ``[N, K]``."""
    codes, scale = _TokenCodes.apply(inputs)
    out = F.linear(codes, weight) * scale
    return out if bias is None else out + bias


class Int8InputLinear(nn.Linear):
    """Linear layer whose inputs are quantised to INT8 per token before the product."""

    def forward(self, inputs: Tensor) -> Tensor:
        return int8_linear(inputs, self.weight, self.bias)
