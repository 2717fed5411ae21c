"""Stored variants of a trained baseline, by the code that quantises the reference model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synapnet_edge.baselines.files import load_baseline
from synapnet_edge.quantization.checkpoint import save_quantized
from synapnet_edge.quantization.convert import apply_recipe
from synapnet_edge.quantization.statistics import collect_statistics
from synapnet_edge.quantization.variants import VARIANTS
from synapnet_edge.training.calibration import build_calib_loader


def quantize_baseline(
    model_path: str | Path,
    variants: Sequence[str],
    calibration: Mapping[str, Any],
    seed: int,
    outputs: Sequence[str | Path],
    ledgers: Sequence[str | Path],
    device: str = "cpu",
) -> dict[str, pd.DataFrame]:
    """Write a packed file and a byte ledger for every variant; returns the ledgers.

    Parameters
    ----------
    variants : names in `VARIANTS` that need no training.
    calibration : `n_samples`, `seq_len`, `batch_size` and `mixture` of the statistics, as for the reference.

    Raises
    ------
    ValueError
        For a variant that trains: its extra steps belong to the reference model.
    """
    training = [name for name in variants if VARIANTS.get(name).trains]
    if training:
        raise ValueError(f"baselines.variants: found {training}, which train; expected variants that do not")
    model = load_baseline(model_path, device)
    statistics = None
    if any(VARIANTS.get(name).needs_statistics for name in variants):
        loader = build_calib_loader(vocab_size=model.cfg.vocab_size, seed=seed, **calibration)
        statistics = collect_statistics(model, loader)
    found = {}
    for name, output, ledger in zip(variants, outputs, ledgers, strict=True):
        recipe = VARIANTS.get(name).recipe
        stored = apply_recipe(model, recipe, statistics)
        found[name] = save_quantized(stored, recipe, output, ledger, name)
    return found
