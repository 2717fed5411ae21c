"""Reading a packed model file without PyTorch: NumPy arrays and the model's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synapnet_edge.artifacts import METADATA_KEY, ArtifactError
from synapnet_edge.config import SynapNetEdgeConfig

FORMAT, FORMAT_VERSION = "synapnet_edge.packed", 2


@dataclass(frozen=True)
class Weight:
    """One packed weight ``[N, K]``; the attributes are those of `quantization.PackedWeight`, as NumPy."""

    shape: tuple[int, int]
    bits: int
    block: int
    zero: int
    half_step: bool
    codes: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray | None = None

    def zero_points(self) -> np.ndarray:
        """int32 ``[N, G]``."""
        groups = self.scales.shape[1]
        if self.zeros is None:
            return np.full((self.shape[0], groups), self.zero, np.int32)
        return unpack(self.zeros, self.bits, groups).astype(np.int32)

    def dequantize(self) -> np.ndarray:
        """float32 ``[N, K]``."""
        codes = unpack(self.codes, self.bits, self.block).astype(np.float32)
        levels = codes - (self.zero_points() - np.float32(0.5) * self.half_step)[..., None]
        weight = levels * self.scales.astype(np.float32)[..., None]
        return weight.reshape(self.shape[0], -1)[:, : self.shape[1]]

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and zero points."""
        return sum(x.nbytes for x in (self.codes, self.scales, self.zeros) if x is not None)


@dataclass(frozen=True)
class PackedFile:
    """A model as it lies in its file.

    Attributes
    ----------
    cfg : shape of the model.
    weights : packed weights by parameter name.
    tensors : everything else by parameter name, as stored (FP16 parameters).
    entries : format of memory entries at run time, None or ``"int8"``.
    variant : name of the quantised variant, if the file says so.
    """

    cfg: SynapNetEdgeConfig
    weights: dict[str, Weight]
    tensors: dict[str, np.ndarray]
    entries: str | None = None
    variant: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def weight(self, module: str) -> Weight | np.ndarray:
        """The weight of a module: packed, or FP16 ``[N, K]``."""
        name = f"{module}.weight"
        return self.weights[name] if name in self.weights else self.tensors[name]

    def as_float(self) -> PackedFile:
        """The same model with every packed weight as float32: the float arm of a comparison."""
        plain = {name: weight.dequantize() for name, weight in self.weights.items()}
        return PackedFile(self.cfg, {}, {**self.tensors, **plain}, self.entries, self.variant, self.metadata)


def read_packed(path: str | Path) -> PackedFile:
    """Read a packed model file.

    Raises
    ------
    ArtifactError
        If the file is missing, not a packed file of this version (a plain checkpoint has first to be stored
        as a variant, such as fp16), or a tensor is missing.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            _check_format(path, metadata)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ArtifactError(f"{path}: not a readable safetensors file ({error})") from error
    weights = {}
    for name, geometry in metadata["packed"].items():
        parts = {suffix: tensors.pop(f"{name}.{suffix}", None) for suffix in ("codes", "scales", "zeros")}
        missing = [suffix for suffix in ("codes", "scales") if parts[suffix] is None]
        if missing:
            raise ArtifactError(f"{path}: tensor '{name}.{missing[0]}' is missing")
        weights[name] = Weight(**{**geometry, "shape": tuple(geometry["shape"])}, **parts)
    try:
        cfg = SynapNetEdgeConfig.from_dict(metadata["config"])
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: model configuration: {error}") from error
    _check_names(path, cfg, weights.keys() | tensors.keys())
    entries = metadata["recipe"]["entries"]
    return PackedFile(cfg, weights, tensors, entries, metadata.get("variant"), metadata)


def unpack(packed: np.ndarray, bits: int, length: int) -> np.ndarray:
    """uint8 codes ``[..., length]`` of packed bytes, lowest bits first."""
    if bits == 8:
        return packed[..., :length]
    stream = np.unpackbits(packed, axis=-1, bitorder="little")[..., : length * bits]
    stream = stream.reshape(*packed.shape[:-1], length, bits)
    return (stream << np.arange(bits, dtype=np.uint8)).sum(-1, dtype=np.uint8)


def _check_format(path: str | Path, metadata: Mapping[str, Any]) -> None:
    if (metadata.get("format"), metadata.get("format_version")) == (FORMAT, FORMAT_VERSION):
        return
    if "format" in metadata:
        found = f"format {metadata['format']!r} version {metadata.get('format_version')!r}"
    else:
        found = "a checkpoint that is not packed; store it as a variant first, such as fp16"
    raise ArtifactError(f"{path}: found {found}, expected {FORMAT!r} version {FORMAT_VERSION}")


def parameter_names(cfg: SynapNetEdgeConfig) -> set[str]:
    """Names of all parameters of a model of this shape."""
    block = ["norm.weight", "ff_norm.weight", "ff.up.weight", "ff.down.weight", "ssm.in_proj.weight"]
    block += ["ssm.conv.weight", "ssm.conv.bias"]
    block += ["salience.score.weight", "salience.score.bias", "salience.prior_gain"]
    if cfg.use_ssm:
        block += ["ssm.gate_proj.weight", "ssm.out_proj.weight"]
    for kind, used in (("attention", cfg.use_attention), ("memory", cfg.use_memory)):
        if used:
            block += [f"{kind}.{part}_proj.weight" for part in "qkvo"] + [f"{kind}.sharpness"]
    if cfg.use_memory:
        block += ["memory.null_level", "memory.found_gain"] + ["memory.ssmax"] * cfg.use_ssmax
    if cfg.use_bridge:
        block += ["bridge.gain", "bridge.bias", "bridge.gate"]
    names = {f"blocks.{layer}.{name}" for layer in range(cfg.depth) for name in block}
    return names | {
        "embed.token.weight", "embed.position.weight", "embed.prior", "norm.weight", "head.weight"
    }  # fmt: skip


def _check_names(path: str | Path, cfg: SynapNetEdgeConfig, found: set[str]) -> None:
    expected = parameter_names(cfg)
    for name in sorted(expected - found):
        raise ArtifactError(f"{path}: tensor {name!r} is missing")
    for name in sorted(found - expected):
        raise ArtifactError(f"{path}: tensor {name!r} is not one that compiled backends know")
