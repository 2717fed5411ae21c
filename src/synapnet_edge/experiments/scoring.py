"""Scoring one trained arm of an experiment, after what the arm changes in the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from synapnet_edge.artifacts import ArtifactError, read_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.evaluation.runner import BATCH_TOKENS, run_suite
from synapnet_edge.models.scale_bridge import neutralise_bridges
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge

COLUMNS = [
    "experiment", "arm", "seed", "parameters", "train_tokens", "train_seconds", "task", "length", "n",
    "score", "ci_low", "ci_high", "chance", "guess",
]  # fmt: skip

# What an arm may do to trained weights, by the name it has in the configuration.
CHANGES: dict[str, Callable[[SynapNetEdge], None]] = {"neutralise_bridge": neutralise_bridges}


def score_arm(
    weights: Path,
    cfg: Mapping[str, Any],
    *,
    experiment: str,
    arm: str,
    seed: int,
    trained: Mapping[str, Any],
    after: Sequence[str] = (),
    batch_tokens: int = BATCH_TOKENS,
    device: str | torch.device = "cpu",
    autocast: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Evaluate the cells of an experiment; returns a table with the columns `COLUMNS`.

    Parameters
    ----------
    weights : Path
        Trained float model; the file is not changed.
    cfg : mapping
        Cells and `test_seed`, as in `evaluation.runner.run_suite`.
    experiment, arm, seed
        Columns of the table; `seed` is the one the model was trained with.
    trained : mapping
        `tokens` and `training_seconds` of the training that made `weights`.
    after : sequence of str
        Keys of `CHANGES`, applied in order before scoring.

    Raises
    ------
    ArtifactError
        If `weights` is not a trained model.
    ValueError
        For an unknown change or cells that cannot be planned.
    """
    unknown = [name for name in after if name not in CHANGES]
    if unknown:
        raise ValueError(f"after: found {unknown}, expected some of {sorted(CHANGES)}")
    model = _read_model(weights).to(device)
    with torch.no_grad():
        for name in after:
            CHANGES[name](model)
    table, _ = run_suite(
        model,
        experiment,
        cfg,
        model_name=arm,
        variant="float",
        backend="reference",
        seed=seed,
        progress=progress,
        batch_tokens=batch_tokens,
        device=device,
        autocast=autocast,
    )
    facts = {
        "experiment": experiment,
        "arm": arm,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "train_tokens": trained["tokens"],
        "train_seconds": trained["training_seconds"],
    }
    return table.assign(**facts)[COLUMNS]


def _read_model(path: Path) -> SynapNetEdge:
    tensors, metadata = read_tensors(path)
    if "config" not in metadata:
        raise ArtifactError(f"{path}: found no model configuration in the metadata, expected key 'config'")
    model = SynapNetEdge(SynapNetEdgeConfig.from_dict(metadata["config"]))
    model.load_state_dict(tensors)
    return model.eval()
