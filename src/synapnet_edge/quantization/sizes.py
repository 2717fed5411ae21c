"""Stored bytes of a recipe, known before anything is quantised."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from synapnet_edge.quantization.recipe import Recipe, Scheme


def recipe_bytes(model: nn.Module, recipe: Recipe) -> int:
    """Payload of the file that `model` takes under `recipe`: exactly what `payload_bytes` finds in it."""
    schemes = recipe.resolve(model)
    constants = dict(model.named_buffers())
    total = 0
    for name, value in model.state_dict().items():
        scheme = schemes.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        if name in constants:
            total += value.numel() * value.element_size()
        else:
            total += weight_bytes(tuple(value.shape), scheme)
    return total


@cache
def weight_bytes(shape: tuple[int, ...], scheme: Scheme | None) -> int:
    """Stored bytes of one weight: two a value in FP16, else what packing a weight of zeros gives."""
    if scheme is None:
        return 2 * torch.Size(shape).numel()
    from synapnet_edge.quantization.schemes import SCHEMES

    diagonal = torch.ones(shape[1])
    return SCHEMES.get(scheme.name).pack(torch.zeros(shape), scheme, diagonal).nbytes
