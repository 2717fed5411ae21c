"""The quantize stage: one variant of one trained model, as a packed file with its byte ledger."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from synapnet_edge.artifacts import write_table
from synapnet_edge.quantization.cajq import resolve_device
from synapnet_edge.quantization.checkpoint import load_model, save_quantized
from synapnet_edge.quantization.convert import apply_recipe
from synapnet_edge.quantization.variants import VARIANTS, Variant
from synapnet_edge.tasks.base import TaskBatch, split_id
from synapnet_edge.tasks.mixture import Mixture
from synapnet_edge.training.calibration import DEFAULT_MIXTURE, read_statistics
from synapnet_edge.training.qat import FinetuneConfig, finetune

# Keys of the stage's configuration that are not settings of the finetuning loop itself.
_DATA_KEYS = {
    "batch_size": 4,
    "lengths": (1024,),
    "readouts": 16,
    "mixture": DEFAULT_MIXTURE,
    "alpha_init": "max",
}


def quantize_variant(
    model_path: str | Path,
    stats_path: str | Path | None,
    variant: str,
    cfg: Mapping[str, Any],
    seed: int,
    output: str | Path,
    ledger: str | Path,
    device: str = "cpu",
    progress: bool = True,
    history: str | Path | None = None,
) -> pd.DataFrame:
    """Apply `variant` to the float model at `model_path`; write the packed file and the ledger.

    Parameters
    ----------
    stats_path : path or None
        Statistics of the calibrate stage; required by variants that search on output error.
    cfg : mapping
        For variants that train: the fields of `FinetuneConfig` (``steps`` is required) and, of the data,
        ``batch_size``, ``lengths`` (sequence lengths [tokens], drawn with equal odds for each batch),
        ``readouts`` per sequence, ``mixture`` (task to weight) and ``alpha_init``. Every training variant of
        one model must get the same block, so that arms differ in quantisation only; ``fp16_ft`` ignores
        ``alpha_init``.
    seed : int
        Draws the training batches; the same for every variant of one seed.
    history : path, optional
        Where the training history goes; only written by variants that train.

    Returns
    -------
    DataFrame
        The ledger.

    Raises
    ------
    ValueError
        For an unknown variant or key, or missing statistics.
    """
    arm = VARIANTS.get(variant)
    training, data = split_config(cfg)
    if arm.trains and "steps" not in training:
        raise ValueError(f"variant {variant!r} trains, but found no 'steps' in its configuration")
    statistics = _statistics(arm, stats_path)
    teacher = load_model(model_path, device=resolve_device(device))
    mode = "qat" if arm.mode == "qat" else "ptq"
    model = apply_recipe(teacher, arm.recipe, statistics, mode, data["alpha_init"])
    if arm.trains:
        batches = training_batches(data, seed)
        table = finetune(model, batches, FinetuneConfig(**training), teacher, progress)
        if history is not None:
            write_table(history, table)
    return save_quantized(model, arm.recipe, output, ledger, variant)


def split_config(cfg: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the stage's configuration into finetuning settings and data settings (defaults filled in)."""
    loop = {field.name for field in fields(FinetuneConfig)}
    unknown = sorted(set(cfg) - loop - set(_DATA_KEYS))
    if unknown:
        raise ValueError(
            f"quantize: unknown keys {unknown}, expected some of {sorted(loop | set(_DATA_KEYS))}"
        )
    training = {key: value for key, value in cfg.items() if key in loop}
    return training, {key: cfg.get(key, default) for key, default in _DATA_KEYS.items()}


def training_batches(data: Mapping[str, Any], seed: int) -> Iterator[TaskBatch]:
    """Endless training batches of the mixture, the same for the same seed and data settings."""
    mixture = Mixture(data["mixture"])
    key = (split_id("train"), zlib.crc32(b"finetune"))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    while True:
        length = int(rng.choice(data["lengths"]))
        yield mixture.batch(rng, data["batch_size"], length, data["readouts"])


def _statistics(arm: Variant, path: str | Path | None) -> dict[str, Tensor] | None:
    if not arm.needs_statistics:
        return None
    if path is None:
        raise ValueError(f"variant {arm.name!r} needs the statistics of the calibrate stage, found none")
    return read_statistics(path)
