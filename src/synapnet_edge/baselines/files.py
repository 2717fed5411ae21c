"""Trained and stored baselines: their files have the format of the reference model's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from synapnet_edge.baselines.base import BASELINES, Baseline
from synapnet_edge.baselines.shape import Shape
from synapnet_edge.quantization.checkpoint import load_model


def build(config: Mapping[str, Any]) -> Baseline:
    """A baseline of a stored configuration, with the weights it starts training from."""
    shape = Shape.from_dict(config)
    return BASELINES.get(shape.kind)(shape)


def load_baseline(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Baseline:
    """Load a trained or quantised baseline in eval mode; raises as `load_model` does."""
    return load_model(path, device, dtype, build)


def load_any(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> torch.nn.Module:
    """Load the reference model or a baseline, whichever the file's configuration describes."""
    from synapnet_edge.artifacts import read_tensors

    _, metadata = read_tensors(path)
    is_baseline = "kind" in metadata.get("config", {})
    return (load_baseline if is_baseline else load_model)(path, device, dtype)
