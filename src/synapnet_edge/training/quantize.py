"""The quantize stage: one variant of one trained model, as a packed file with its byte ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from synapnet_edge.artifacts import read_table, write_table
from synapnet_edge.quantization.cajq import allocated_recipe, resolve_device
from synapnet_edge.quantization.checkpoint import load_model, save_quantized
from synapnet_edge.quantization.convert import apply_recipe
from synapnet_edge.quantization.recipe import Recipe
from synapnet_edge.quantization.variants import VARIANTS, Variant
from synapnet_edge.training.calibration import build_calib_loader, read_statistics
from synapnet_edge.training.finetune_data import DATA_KEYS, finetune_steps
from synapnet_edge.training.qat import FinetuneConfig, finetune

ALPHA_INIT = "alpha_init"  # the one key of the stage that is about neither the loop nor its data


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
    sensitivity: str | Path | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Apply `variant` to the float model at `model_path`; write the packed file and the ledger.

    Parameters
    ----------
    stats_path : path or None
        Statistics of the calibrate stage; required by variants that search on output error.
    cfg : mapping
        For variants that train: the fields of `FinetuneConfig` (``steps`` is required), ``alpha_init``, and
        of the data some of `finetune_data.DATA_KEYS`. Every training variant of one model must get the same
        block, so that arms differ in quantisation only; ``fp16_ft`` ignores ``alpha_init``.
    seed : int
        Draws the training batches; the same for every variant of one seed.
    history : path, optional
        Where the training history goes; only written by variants that train.
    sensitivity : path, optional
        Table of the sensitivity stage; required by variants with a budget.
    calibration : mapping, optional
        `n_samples`, `seq_len`, `batch_size` and `mixture` of the calibrate stage; required by variants with
        INT8 activations, whose statistics are collected again.

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
    recipe = _recipe(arm, teacher, sensitivity)
    loader = _loader(teacher, recipe, calibration, seed)
    mode = "qat" if arm.mode == "qat" else "ptq"
    model = apply_recipe(teacher, recipe, statistics, mode, cfg.get(ALPHA_INIT, "max"), loader)
    if arm.trains:
        steps = finetune_steps(data, teacher.cfg, seed)
        table = finetune(model, steps, FinetuneConfig(**training), teacher, progress)
        if history is not None:
            write_table(history, table)
    return save_quantized(model, recipe, output, ledger, variant)


def split_config(cfg: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the stage's configuration into finetuning settings and data settings."""
    loop = {field.name for field in fields(FinetuneConfig)}
    unknown = sorted(set(cfg) - loop - set(DATA_KEYS) - {ALPHA_INIT})
    if unknown:
        expected = sorted(loop | set(DATA_KEYS) | {ALPHA_INIT})
        raise ValueError(f"quantize: unknown keys {unknown}, expected some of {expected}")
    training = {key: value for key, value in cfg.items() if key in loop}
    return training, {key: value for key, value in cfg.items() if key in DATA_KEYS}


def _recipe(arm: Variant, model: nn.Module, sensitivity: str | Path | None) -> Recipe:
    if arm.budget is None:
        return arm.recipe
    if sensitivity is None:
        raise ValueError(f"variant {arm.name!r} needs the table of the sensitivity stage, found none")
    table = read_table(sensitivity)
    table = table[table["option"].isin(arm.budget.options)]
    return allocated_recipe(model, table, arm.budget.bytes_for(model), arm.recipe)


def _loader(
    model: nn.Module, recipe: Recipe, calibration: Mapping[str, Any] | None, seed: int
) -> Iterable[Tensor] | None:
    """The calibration batches, for recipes that collect statistics again."""
    if recipe.smooth is None or calibration is None:
        return None
    return build_calib_loader(vocab_size=model.cfg.vocab_size, seed=seed, **calibration)


def _statistics(arm: Variant, path: str | Path | None) -> dict[str, Tensor] | None:
    if not arm.needs_statistics:
        return None
    if path is None:
        raise ValueError(f"variant {arm.name!r} needs the statistics of the calibrate stage, found none")
    return read_statistics(path)
