"""Resumable training state: weights, AdamW's moments, the step and the history, in one atomic file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from synapnet_edge.artifacts import ArtifactError, read_tensors, write_tensors

FILE_NAME = "checkpoint.safetensors"


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, history: list[dict[str, Any]]
) -> None:
    """Write the state after `step` finished steps to `folder`; an older one is replaced in one rename."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}/{key}"] = torch.as_tensor(value)
    write_tensors(folder / FILE_NAME, tensors, {"step": step, "history": history})


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, list[dict[str, Any]]]:
    """Restore `model` and `optimizer` in place; return (finished steps, history), (0, []) without a file.

    Raises
    ------
    ArtifactError
        If the checkpoint belongs to another model.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return 0, []
    tensors, metadata = read_tensors(path)
    weights = {name[len("model.") :]: value for name, value in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(
            f"{path}: does not fit this model ({error}); delete it to start afresh"
        ) from error
    for name, parameter in model.named_parameters():
        prefix = f"optimizer.{name}/"
        state = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        # AdamW keeps its step counter on the CPU and its moments beside the parameter.
        optimizer.state[parameter] = {
            key: value if key == "step" else value.to(parameter.device) for key, value in state.items()
        }
    return int(metadata["step"]), list(metadata["history"])
