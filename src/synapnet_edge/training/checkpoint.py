"""Resumable training state in one atomic file: weights, AdamW's moments, what else is carried, tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from synapnet_edge.artifacts import ArtifactError, read_tensors, write_tensors

FILE_NAME = "checkpoint.safetensors"
Records = dict[str, list[dict[str, Any]]]  # table name -> rows


class Carried(Protocol):
    """Tensors that a training takes from step to step beside model and optimiser."""

    def tensors(self) -> dict[str, Tensor]:
        """What has to be stored."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from stored `tensors()`; raises KeyError for a missing name."""


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    carried: Mapping[str, Carried],
    step: int,
    records: Records,
) -> None:
    """Write the state after `step` finished steps to `folder`; an older one is replaced in one rename."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}/{key}"] = torch.as_tensor(value)
    for part, own in carried.items():
        tensors |= {f"{part}.{name}": tensor for name, tensor in own.tensors().items()}
    write_tensors(folder / FILE_NAME, tensors, {"step": step, **records})


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    carried: Mapping[str, Carried],
    records: Records,
) -> int:
    """Restore everything in place and return the number of finished steps; 0 without a file.

    Raises
    ------
    ArtifactError
        If the checkpoint belongs to another model or other settings.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return 0
    tensors, metadata = read_tensors(path)
    try:
        model.load_state_dict(_below("model.", tensors))
        for part, own in carried.items():
            own.load(_below(f"{part}.", tensors))
        for name, rows in records.items():
            rows[:] = metadata[name]
    except (RuntimeError, KeyError) as error:
        raise ArtifactError(f"{path}: does not fit this run ({error}); delete it to start afresh") from error
    fused = bool(optimizer.defaults.get("fused"))
    for name, parameter in model.named_parameters():
        # A fused AdamW keeps its step counter beside the parameter, any other on the CPU.
        optimizer.state[parameter] = {
            key: value if key == "step" and not fused else value.to(parameter.device)
            for key, value in _below(f"optimizer.{name}/", tensors).items()
        }
    return int(metadata["step"])


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose name starts with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
