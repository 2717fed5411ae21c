"""The packed model file and its byte ledger.

File: safetensors with ``{module}.weight.codes | scales | zeros`` for quantised weights, FP16 for all other
parameters and constants (buffers) as they are; metadata hold the model configuration, the recipe, the variant
and the geometry of each packed weight. The ledger's bytes add up to the file's payload (all tensor data).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from synapnet_edge.artifacts import ArtifactError, read_tensors, write_table, write_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge, component_of
from synapnet_edge.quantization.convert import Quantization, entry_quantizer, freeze, set_input_formats
from synapnet_edge.quantization.fake_quant import fake_quant_modules
from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.quantization.primitives import MAX_FP16
from synapnet_edge.quantization.recipe import Recipe

FORMAT = "synapnet_edge.packed"
FORMAT_VERSION = 2
LEDGER_COLUMNS = ["component", "tensor", "parameters", "bits", "bytes"]


def save_quantized(
    model: SynapNetEdge,
    recipe: Recipe,
    path: str | Path,
    ledger_path: str | Path | None = None,
    variant: str | None = None,
) -> pd.DataFrame:
    """Write a model's packed file and ledger; returns the ledger.

    Parameters
    ----------
    model : SynapNetEdge
        A result of `apply_recipe` or `apply_cajq` (PTQ, or QAT after training), or a float model for a recipe
        without rules (all FP16).
    recipe : Recipe
        What the file claims to hold; every module it names must be quantised in `model`.

    Raises
    ------
    ValueError
        If the model was not quantised by `recipe`, its weights changed since, or a value does not fit FP16.
    """
    if fake_quant_modules(model):
        model = freeze(model)
    record: Quantization = getattr(model, "quantization", None) or Quantization(Recipe())
    _check_recipe(model, recipe, record)
    tensors, geometry, rows = {}, {}, []
    constants = dict(model.named_buffers())
    for name, value in model.state_dict().items():
        packed = record.packed.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        if name in constants:
            stored = {name: value}
        elif packed is None:
            stored = {name: _to_fp16(name, value)}
        else:
            _check_unchanged(name, value, packed)
            stored = {f"{name}.{suffix}": tensor for suffix, tensor in packed.tensors().items()}
            geometry[name] = {"shape": list(packed.shape), **_geometry(packed)}
        tensors.update(stored)
        rows.append(_ledger_row(name, 0 if name in constants else value.numel(), stored))
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": model.cfg.to_dict(),
        "recipe": recipe.to_dict(),
        "variant": variant or record.variant,
        "packed": geometry,
    }
    ledger = pd.DataFrame(rows, columns=LEDGER_COLUMNS)
    write_tensors(path, tensors, metadata)
    if ledger_path is not None:
        write_table(ledger_path, ledger)
    return ledger


def _build_reference(config: Mapping[str, Any]) -> SynapNetEdge:
    return SynapNetEdge(SynapNetEdgeConfig.from_dict(config))


def load_model(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    build: Callable[[Mapping[str, Any]], nn.Module] = _build_reference,
) -> Any:
    """Load a packed file or a plain float checkpoint as a model in eval mode.

    Weights are dequantised to `dtype` for the PyTorch reference backend; the packed form stays at
    ``model.quantization``. ``model.entry_quantizer`` is set if the recipe says so.

    Parameters
    ----------
    build : callable
        Makes the model of the file's configuration; by default a `SynapNetEdge`.

    Raises
    ------
    ArtifactError
        If the file is missing, has no model configuration, or a tensor is missing, unknown or of a wrong
        shape or dtype; the message names file and tensor.
    """
    tensors, metadata = read_tensors(path)
    if "config" not in metadata:
        raise ArtifactError(f"{path}: found no model configuration in the metadata, expected key 'config'")
    try:
        model = build(metadata["config"])
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: model configuration: {error}") from error
    record = None
    if "format" in metadata:
        record = _read_record(path, tensors, metadata)
        for name, packed in record.packed.items():
            tensors[f"{name}.weight"] = packed.dequantize()
        model.entry_quantizer = entry_quantizer(record.recipe)
        set_input_formats(model, record.recipe.resolve(model))
    _load_state(path, model, tensors)
    model.quantization = record
    return model.to(device=device, dtype=dtype).eval()


def check_format(path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Raise ArtifactError unless `metadata` are those of a packed file of this version."""
    if (metadata["format"], metadata.get("format_version")) != (FORMAT, FORMAT_VERSION):
        found = f"{metadata['format']!r} version {metadata.get('format_version')!r}"
        hint = "; quantise the model again" if metadata["format"] == FORMAT else ""
        raise ArtifactError(
            f"{path}: found format {found}, expected {FORMAT!r} version {FORMAT_VERSION}{hint}"
        )


def payload_bytes(path: str | Path) -> int:
    """Bytes of tensor data in a safetensors file: its size without the length field and the header."""
    path = Path(path)
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    return path.stat().st_size - 8 - header


def _check_recipe(model: nn.Module, recipe: Recipe, record: Quantization) -> None:
    expected, found = set(recipe.resolve(model)), set(record.packed)
    if recipe != record.recipe or expected != found:
        odd = sorted(expected ^ found)[:5]
        raise ValueError(f"model: not quantised by this recipe (differs in {odd or 'rules'}); apply it first")


def _check_unchanged(name: str, value: Tensor, packed: PackedWeight) -> None:
    if not torch.equal(value.detach().float().cpu(), packed.dequantize()):
        raise ValueError(f"{name}: the weight changed after it was quantised; quantise the model again")


def _to_fp16(name: str, value: Tensor) -> Tensor:
    value = value.detach()
    if not value.is_floating_point():
        raise ValueError(f"{name}: found {value.dtype}, expected a floating-point tensor")
    if not bool((value.abs() <= MAX_FP16).all()):
        raise ValueError(
            f"{name}: found a value that is not finite or beyond {MAX_FP16}, expected FP16 range"
        )
    return value.half()


def _geometry(packed: PackedWeight) -> dict[str, Any]:
    keys = ("bits", "block", "zero", "half_step")
    return {key: getattr(packed, key) for key in keys}


def _ledger_row(name: str, parameters: int, stored: Mapping[str, Tensor]) -> dict[str, Any]:
    size = sum(tensor.numel() * tensor.element_size() for tensor in stored.values())
    # Effective bits: what is stored, scales and zero points included, per parameter it stands for. A constant
    # has no parameters; its row gives the bits of an element.
    count = parameters or sum(tensor.numel() for tensor in stored.values())
    return {
        "component": component_of(name),
        "tensor": name,
        "parameters": parameters,
        "bits": round(8 * size / count, 4),
        "bytes": size,
    }


def _read_record(path: str | Path, tensors: dict[str, Tensor], metadata: Mapping[str, Any]) -> Quantization:
    """Take the packed weights out of `tensors`."""
    check_format(path, metadata)
    record = Quantization(Recipe.from_dict(metadata["recipe"]), variant=metadata["variant"])
    for name, geometry in metadata["packed"].items():
        parts = {suffix: tensors.pop(f"{name}.{suffix}", None) for suffix in ("codes", "scales", "zeros")}
        missing = [f"{name}.{suffix}" for suffix in ("codes", "scales") if parts[suffix] is None]
        if missing:
            raise ArtifactError(f"{path}: tensor {missing[0]!r} is missing")
        try:
            packed = PackedWeight(**{**geometry, "shape": tuple(geometry["shape"])}, **parts)
        except ValueError as error:
            raise ArtifactError(f"{path}: tensor {name!r}: {error}") from error
        record.packed[name.removesuffix(".weight")] = packed
    return record


def _load_state(path: str | Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    expected = model.state_dict()
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing:
        raise ArtifactError(f"{path}: tensor {missing[0]!r} is missing ({len(missing)} in all)")
    if unknown:
        raise ArtifactError(
            f"{path}: tensor {unknown[0]!r} does not belong to the model ({len(unknown)} in all)"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or not tensor.is_floating_point():
            found = f"{tensor.dtype} {list(tensor.shape)}"
            raise ArtifactError(
                f"{path}: tensor {name!r} is {found}, expected floats {list(expected[name].shape)}"
            )
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
