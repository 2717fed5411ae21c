"""The sensitivity stage: what each component of one trained model loses at each bit width."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from synapnet_edge.artifacts import write_table
from synapnet_edge.quantization.cajq import resolve_device
from synapnet_edge.quantization.checkpoint import load_model
from synapnet_edge.quantization.options import COMPONENTS, OPTIONS
from synapnet_edge.quantization.sensitivity import measure_sensitivity
from synapnet_edge.training.calibration import build_calib_loader, read_statistics

OTHER_ROWS = 1_000_000  # added to the seed of the statistics' rows


def sensitivity(
    model_path: str | Path,
    stats_path: str | Path,
    cfg: Mapping[str, Any],
    seed: int,
    output: str | Path,
    device: str = "cpu",
    progress: bool = True,
) -> pd.DataFrame:
    """Measure the model at `model_path` and write the table.

    Parameters
    ----------
    cfg : mapping
        `n_samples`, `seq_len`, `batch_size` and `mixture` of the questions, `options` to measure (default
        all).
    seed : int
        Draws the rows, other ones than the statistics': no search is judged on its own rows.

    Raises
    ------
    ValueError
        For an unknown key or option, or options without ``"fp16"`` (what a component may always keep).
    """
    cfg = dict(cfg)
    options = cfg.pop("options", tuple(OPTIONS))
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown or "fp16" not in options:
        expected = f"fp16 and some of {list(OPTIONS)}"
        raise ValueError(f"sensitivity options: found {list(options)}, expected {expected}")
    model = load_model(model_path, device=resolve_device(device))
    loader = build_calib_loader(vocab_size=model.cfg.vocab_size, seed=seed + OTHER_ROWS, **cfg)
    with tqdm(total=len(COMPONENTS) * len(options), desc="sensitivity", disable=not progress) as bar:

        def show(text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update()

        table = measure_sensitivity(model, loader, read_statistics(stats_path), COMPONENTS, options, show)
    write_table(output, table)
    return table
