"""AWQ's search of input scales (arXiv 2306.00978), folded into the layer before.

Per group of layers that read one tensor, with a_j = mean |x_j| over calibration tokens::

    for r = 0, 1/20, .. 19/20:   s = clamp(a^r, 1e-4);  s = s / sqrt(max(s) min(s));  W' = Q(W s) / s
    keep the s of least mean squared output error of the inspected module

r = 0 is no scaling, so the searched error is never above that of round-to-nearest. The winner is folded: the
consumers' columns take s, the producer is divided by it, and nothing is left to do at run time. The clip
search that follows works on inputs divided by s and is in `uniform`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from synapnet_edge.quantization.recipe import Scheme
from synapnet_edge.quantization.row_step import output_error
from synapnet_edge.quantization.schemes import SCHEMES
from synapnet_edge.quantization.statistics import ABS_MEAN, INPUTS, SECOND_MOMENT, rescaled
from synapnet_edge.quantization.topology import FoldGroup, fold, fold_groups

STEPS = 20
MIN_SCALE = 1e-4


class Found(NamedTuple):
    """What the search of one group found.

    Attributes
    ----------
    scale : [K].
    error, plain_error : output error with it, and without any scaling.
    """

    scale: Tensor
    error: float
    plain_error: float


def apply_awq(
    model: nn.Module, schemes: Mapping[str, Scheme], statistics: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Search and fold the scales of every group whose consumers all ask for it, in place.

    All searches see the inputs of the float model, so no layer answers for another one's error.

    Returns
    -------
    dict
        The statistics as the folded model would give them.
    """
    statistics = dict(statistics)
    for group in fold_groups(model):
        if all(name in schemes and schemes[name].scale_search for name in group.consumers):
            found = search_scale(model, group, schemes, statistics)
            fold(model, group, found.scale)
            statistics = rescaled(statistics, group.consumers, found.scale)
    return statistics


@torch.no_grad()
def search_scale(
    model: nn.Module, group: FoldGroup, schemes: Mapping[str, Scheme], statistics: Mapping[str, Tensor]
) -> Found:
    """The scale of least output error for one group; the model is left as it is.

    Raises
    ------
    ValueError
        If the statistics lack what the search needs.
    """
    first = group.consumers[0]
    _check(statistics, f"{first}.{ABS_MEAN}")
    error = _module_error(model, group, schemes, statistics) if group.outputs else None
    error = error or _linear_error(model, first, schemes[first], statistics)
    average = statistics[f"{first}.{ABS_MEAN}"].to(model.get_submodule(first).weight.device)
    best, best_error, plain = torch.ones_like(average), float("inf"), float("inf")
    for index in range(STEPS):
        scale = average.pow(index / STEPS).clamp_min(MIN_SCALE)
        scale = scale / (scale.max() * scale.min()).sqrt()
        value = error(scale)
        plain = value if index == 0 else plain
        if value < best_error:
            best, best_error = scale, value
    return Found(best, best_error, plain)


def _linear_error(model: nn.Module, name: str, scheme: Scheme, statistics: Mapping[str, Tensor]):
    """Error of one linear layer's own output, exactly, from E[x x^T]."""
    weight = model.get_submodule(name).weight.detach().float()
    moment = _check(statistics, f"{name}.{SECOND_MOMENT}").to(weight.device)
    return lambda scale: float(output_error(_scaled(weight, scheme, scale) - weight, moment).mean())


def _module_error(
    model: nn.Module, group: FoldGroup, schemes: Mapping[str, Scheme], statistics: Mapping[str, Tensor]
):
    """Error of the inspected module's outputs on kept inputs, each output relative to its own power."""
    module = model.get_submodule(group.inspected)
    layers = {name: model.get_submodule(name) for name in group.consumers}
    weights = {name: layer.weight.detach().clone().float() for name, layer in layers.items()}
    inputs = _check(statistics, f"{group.consumers[0]}.{INPUTS}").float()
    inputs = inputs.to(next(module.parameters()).device)
    expected = group.outputs(module, inputs)
    power = [output.square().mean().clamp_min(1e-12) for output in expected]

    def error(scale: Tensor) -> float:
        changed = {layers[name]: _scaled(weights[name], schemes[name], scale) for name in layers}
        with _weights(changed):
            got = group.outputs(module, inputs)
        losses = [(a - b).square().mean() / p for a, b, p in zip(got, expected, power, strict=True)]
        return float(sum(losses))

    return error


def _scaled(weight: Tensor, scheme: Scheme, scale: Tensor) -> Tensor:
    """Q(W s) / s, rounded to nearest: the clip search comes after."""
    plain = replace(scheme, clip_search=False)
    packed = SCHEMES.get(scheme.name).pack(weight * scale, plain, None)
    return packed.dequantize().to(weight.device) / scale


@contextmanager
def _weights(changed: Mapping[nn.Module, Tensor]) -> Iterator[None]:
    """Let layers hold other weights for a while."""
    kept = {layer: layer.weight.detach().clone() for layer in changed}
    try:
        for layer, weight in changed.items():
            layer.weight.copy_(weight)
        yield
    finally:
        for layer, weight in kept.items():
            layer.weight.copy_(weight)


def _check(statistics: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in statistics:
        raise ValueError(f"calibration statistics: found no {key!r}, which AWQ's scale search needs")
    return statistics[key]
