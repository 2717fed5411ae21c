"""Rounding of activations to int8 in PyTorch: what compiled backends do, for the reference to do the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUP = 64
LARGEST = 127.0
#: Below this largest magnitude a group counts as zero: its inverse scale would overflow.
TINY = 1e-30


def round_activations(x: Tensor, group: int = GROUP) -> Tensor:
    """Nearest int8 levels of x [..., K]; one scale per token and `group` features: the largest over 127."""
    width = x.shape[-1]
    groups = F.pad(x.float(), (0, -width % group)).unflatten(-1, (-1, group))
    top = groups.abs().amax(-1, keepdim=True)
    inverse = torch.where(top > TINY, LARGEST / top, 0.0)
    rounded = torch.round(groups * inverse) * torch.where(top > TINY, top / LARGEST, 0.0)
    return rounded.flatten(-2)[..., :width].to(x.dtype)


def round_inputs(model: nn.Module) -> nn.Module:
    """Make every packed linear layer of a loaded model round its input; returns the model."""
    for name in model.quantization.packed:
        module = model.get_submodule(name)
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(_round_first)
    return model


def _round_first(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (round_activations(inputs[0]), *inputs[1:])
