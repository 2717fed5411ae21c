"""Applies a recipe to a model: weights replaced by their quantised values (PTQ) or trainable layers (QAT)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from synapnet_edge.quantization.fake_quant import fake_quant_modules
from synapnet_edge.quantization.memory_quantizer import MemoryQuantizer
from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.quantization.recipe import Recipe
from synapnet_edge.quantization.schemes import SCHEMES
from synapnet_edge.quantization.statistics import second_moment

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
) -> nn.Module:
    """Return a copy of a float `model` quantised by `recipe`; `model` itself is left as it is.

    Parameters
    ----------
    statistics : mapping, optional
        Result of `collect_statistics`; required by schemes that search on output error.
    mode : str
        ``"ptq"``: the copy's weights hold the quantised values. ``"qat"``: the copy's modules are
        fake-quantised and train; a clip search runs only if there are statistics.
    alpha_init : str
        Start of SEQ's alpha under QAT: ``"max"`` (ParetoQ) or ``"search"`` (the training-free search).

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
    for name, scheme in schemes.items():
        module = model.get_submodule(name)
        handler, moment = SCHEMES.get(scheme.name), _moment_on(module, statistics, name)
        try:
            if mode == "ptq":
                record.packed[name] = handler.pack(module.weight.detach(), scheme, moment)
                _set_weight(module, record.packed[name])
            else:
                _replace(model, name, handler.prepare(module, scheme, moment, alpha_init))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    model.entry_quantizer = entry_quantizer(recipe)
    model.quantization = record
    return model


def freeze(model: nn.Module) -> nn.Module:
    """Return a copy of a QAT model with plain layers that hold the packed weights' values.

    The copy computes what a packed file computes, without the cost of fake quantisation, and can be saved.
    """
    record: Quantization = model.quantization
    packed = {name: module.pack() for name, module in fake_quant_modules(model).items()}
    model = copy.deepcopy(model)
    for name, weight in packed.items():
        _replace(model, name, _plain(model.get_submodule(name)))
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


def _moment_on(module: nn.Module, statistics: Mapping[str, Tensor] | None, name: str) -> Tensor | None:
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


def _plain(module: nn.Module) -> nn.Module:
    """An ordinary layer of the same shape, bias and dtype."""
    factory = {"device": module.weight.device, "dtype": module.weight.dtype}
    if isinstance(module, nn.Embedding):
        return nn.Embedding(*module.weight.shape, padding_idx=module.padding_idx, **factory)
    plain = nn.Linear(module.in_features, module.out_features, module.bias is not None, **factory)
    if module.bias is not None:
        plain.load_state_dict({"bias": module.bias.detach()}, strict=False)
    return plain
