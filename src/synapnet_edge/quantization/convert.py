"""Applies a recipe to a model: weights replaced by their quantised values (PTQ) or trainable layers (QAT)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from synapnet_edge.quantization.activation import Int8InputLinear
from synapnet_edge.quantization.awq import apply_awq
from synapnet_edge.quantization.fake_quant import QuantLinear, fake_quant_modules, fake_quantized
from synapnet_edge.quantization.memory_quantizer import MemoryQuantizer
from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.quantization.recipe import Recipe, Scheme
from synapnet_edge.quantization.schemes import SCHEMES
from synapnet_edge.quantization.smoothquant import apply_smoothquant
from synapnet_edge.quantization.statistics import collect_statistics, second_moment

MODES = ("ptq", "qat")
ALPHA_INITS = ("max", "search")


@dataclass
class Quantization:
    """What a quantised model remembers of its making; lies at ``model.quantization``.

    Attributes
    ----------
    recipe : the recipe that was applied.
    packed : stored form of the quantised weights by module name; empty while the model trains under QAT.
    variant : name of the variant, for files and tables.
    """

    recipe: Recipe
    packed: dict[str, PackedWeight] = field(default_factory=dict)
    variant: str | None = None


def apply_recipe(
    model: nn.Module,
    recipe: Recipe,
    statistics: Mapping[str, Tensor] | None = None,
    mode: str = "ptq",
    alpha_init: str = "max",
    loader: Iterable[Tensor] | None = None,
) -> nn.Module:
    """Return a copy of a float `model` quantised by `recipe`; `model` itself is left as it is.

    In order: SmoothQuant's scales where inputs are INT8, statistics collected anew, AWQ's scales, then each
    weight with its clip search.

    Parameters
    ----------
    statistics : mapping, optional
        Result of `collect_statistics`; required by schemes that search on output error.
    mode : str
        ``"ptq"``: the copy's weights hold the quantised values. ``"qat"``: the copy's modules are
        fake-quantised and train; a clip search runs only if there are statistics.
    alpha_init : str
        Start of a learned alpha under QAT: ``"max"`` (as published) or ``"search"`` (least output error).
    loader : iterable of Tensor, optional
        int64 ``[b, T]`` calibration batches; required by recipes with `smooth`.

    Raises
    ------
    ValueError
        For an unknown mode or start, a recipe that does not fit the model, missing statistics, or a model
        that is already quantised.
    """
    if mode not in MODES:
        raise ValueError(f"mode: found {mode!r}, expected one of {MODES}")
    if alpha_init not in ALPHA_INITS:
        raise ValueError(f"alpha_init: found {alpha_init!r}, expected one of {ALPHA_INITS}")
    _check_float(model)
    schemes = recipe.resolve(model)
    model = copy.deepcopy(model)
    record = Quantization(recipe)
    statistics = _fold_scales(model, recipe, schemes, statistics, loader, mode)
    for name, scheme in schemes.items():
        module = model.get_submodule(name)
        handler, moment = SCHEMES.get(scheme.name), moment_on(module, statistics, name)
        weight = module.weight.detach()
        try:
            if mode == "ptq":
                record.packed[name] = handler.pack(weight, scheme, moment)
                _set_weight(module, record.packed[name])
            else:
                quantizer = handler.quantizer(weight, scheme, moment, alpha_init)
                _replace(model, name, fake_quantized(module, quantizer, scheme.int8_inputs))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if mode == "ptq":
        set_input_formats(model, schemes)
    model.entry_quantizer = entry_quantizer(recipe)
    model.quantization = record
    return model


def set_input_formats(model: nn.Module, schemes: Mapping[str, Scheme]) -> None:
    """Let the layers whose scheme says so quantise their inputs to INT8, in place."""
    for name, scheme in schemes.items():
        module = model.get_submodule(name)
        if scheme.int8_inputs and not isinstance(module, Int8InputLinear):
            layer = _plain(module, int8_inputs=True)
            layer.weight = module.weight
            _replace(model, name, layer)


def freeze(model: nn.Module) -> nn.Module:
    """Return a copy of a QAT model with plain layers that hold the packed weights' values.

    The copy computes what a packed file computes, without the cost of fake quantisation, and can be saved.
    """
    record: Quantization = model.quantization
    packed = {name: module.pack() for name, module in fake_quant_modules(model).items()}
    model = copy.deepcopy(model)
    for name, weight in packed.items():
        layer = model.get_submodule(name)
        _replace(model, name, _plain(layer, isinstance(layer, QuantLinear) and layer.int8_inputs))
        _set_weight(model.get_submodule(name), weight)
    model.quantization = Quantization(record.recipe, packed, record.variant)
    return model


def entry_quantizer(recipe: Recipe) -> MemoryQuantizer | None:
    """What a recipe's model applies to memory entries when they are written."""
    return MemoryQuantizer() if recipe.entries == "int8" else None


def _check_float(model: nn.Module) -> None:
    record = getattr(model, "quantization", None)
    if fake_quant_modules(model) or (record is not None and record.packed):
        raise ValueError(
            "model: found a quantised model, expected a float one; quantising twice loses accuracy"
        )


def _fold_scales(
    model: nn.Module,
    recipe: Recipe,
    schemes: Mapping[str, Scheme],
    statistics: Mapping[str, Tensor] | None,
    loader: Iterable[Tensor] | None,
    mode: str,
) -> Mapping[str, Tensor] | None:
    """SmoothQuant and AWQ in place; returns the statistics of the model as it is afterwards."""
    searching = any(scheme.scale_search for scheme in schemes.values())
    if statistics is None:
        if recipe.smooth is not None or (searching and mode == "ptq"):
            raise ValueError("no calibration statistics, but the recipe searches input scales")
        return None
    if recipe.smooth is not None:
        if loader is None:
            raise ValueError("calib_loader: found None, expected batches to collect statistics again")
        apply_smoothquant(model, schemes, statistics, recipe.smooth)
        statistics = collect_statistics(model, loader)
    return apply_awq(model, schemes, statistics) if searching else statistics


def moment_on(module: nn.Module, statistics: Mapping[str, Tensor] | None, name: str) -> Tensor | None:
    """E[x x^T] of a layer's input; a row of an embedding is looked up whole, so its features count alike."""
    if isinstance(module, nn.Embedding):
        return module.weight.new_ones(module.weight.shape[1], dtype=torch.float32)
    moment = second_moment(statistics, name)
    if moment is not None and moment.shape[0] != module.weight.shape[1]:
        found, expected = moment.shape[0], module.weight.shape[1]
        raise ValueError(f"{name}: found statistics of {found} input features, expected {expected}")
    return None if moment is None else moment.to(module.weight.device)


@torch.no_grad()
def _set_weight(module: nn.Module, packed: PackedWeight) -> None:
    module.weight.copy_(packed.dequantize())


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    module.train(model.training)
    setattr(model.get_submodule(parent), child, module)


def _plain(module: nn.Module, int8_inputs: bool = False) -> nn.Module:
    """An ordinary layer of the same shape, bias and dtype."""
    factory = {"device": module.weight.device, "dtype": module.weight.dtype}
    if isinstance(module, nn.Embedding):
        return nn.Embedding(*module.weight.shape, padding_idx=module.padding_idx, **factory)
    kind = Int8InputLinear if int8_inputs else nn.Linear
    plain = kind(module.in_features, module.out_features, module.bias is not None, **factory)
    if module.bias is not None:
        plain.load_state_dict({"bias": module.bias.detach()}, strict=False)
    return plain
