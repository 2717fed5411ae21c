"""How much of a training should be quantised: the share of steps under QAT, at equal total steps.

The learning rate decays once, inside the quantised part ("cooldown fused with QAT", arXiv 2509.22935): the
float part keeps its peak rate, and the quantised part starts there. A share of 0 trains in float to the end,
with its own decay, and is quantised without training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.evaluation.runner import BATCH_TOKENS, run_suite
from synapnet_edge.quantization.checkpoint import load_model
from synapnet_edge.quantization.variants import VARIANTS
from synapnet_edge.training.calibration import calibrate
from synapnet_edge.training.loop import pretrain
from synapnet_edge.training.quantize import quantize_variant

COLUMNS = [
    "share", "seed", "variant", "float_steps", "qat_steps", "task", "length", "n", "score", "ci_low",
    "ci_high", "chance", "guess",
]  # fmt: skip
CALIBRATION = {"n_samples": 16, "seq_len": 256}


def run_share(
    shape: Mapping[str, Any],
    training: Mapping[str, Any],
    evaluate: Mapping[str, Any],
    *,
    share: float,
    variant: str,
    seed: int,
    device: str = "cpu",
    autocast: bool = False,
    batch_tokens: int = BATCH_TOKENS,
    progress: bool = True,
) -> pd.DataFrame:
    """Train one small model with `share` of its steps quantised, and score it.

    Parameters
    ----------
    shape, training : mapping
        Model and pretraining settings, complete; `training` is what a float run would get.
    evaluate : mapping
        Cells and `test_seed`, see `evaluation.runner.run_suite`.
    variant : str
        A variant without a byte budget; its recipe is trained, or applied without training at share 0.

    Returns
    -------
    DataFrame with the columns `COLUMNS`

    Raises
    ------
    ValueError
        For a share outside [0, 1), or a variant that allocates bits.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share: found {share}, expected at least 0 and less than 1")
    arm = VARIANTS.get(variant)
    if arm.budget is not None or arm.mode == "finetune":
        raise ValueError(f"variant: found {variant!r}, expected one of a fixed quantised recipe")
    float_part, qat_steps = split_training(training, share)
    float_steps = sum(stage["steps"] for stage in float_part["curriculum"])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        weights, stats, packed = (
            place / name for name in ("model.safetensors", "stats.safetensors", "q.safetensors")
        )
        cfg = SynapNetEdgeConfig.from_dict(shape)
        pretrain(cfg, float_part, seed, weights, place / "history.csv", place / "resume", device, progress)
        calibration = {**CALIBRATION, "mixture": training["mixture"]}
        calibrate(weights, calibration, seed, stats, device, progress)
        settings = _finetune_settings(training, qat_steps) if qat_steps else {}
        name = variant if qat_steps else _untrained(variant)
        quantize_variant(
            weights, stats, name, settings, seed, packed, place / "ledger.csv", device, progress,
            calibration=calibration,
        )  # fmt: skip
        model = load_model(packed, device=device)
    table, _ = run_suite(
        model,
        "qat_share",
        evaluate,
        model_name="small",
        variant=variant,
        backend="reference",
        seed=seed,
        progress=progress,
        batch_tokens=batch_tokens,
        device=device,
        autocast=autocast,
    )
    facts = {"share": share, "float_steps": float_steps, "qat_steps": qat_steps}
    return table.assign(**facts)[COLUMNS]


def split_training(training: Mapping[str, Any], share: float) -> tuple[dict[str, Any], int]:
    """The float part's settings and the steps of the quantised part; their steps sum to the whole."""
    stages = training["curriculum"]
    total = sum(stage["steps"] for stage in stages)
    qat_steps = round(share * total)
    if qat_steps == 0:
        return dict(training), 0
    left = total - qat_steps
    ends = [round(left * sum(s["steps"] for s in stages[: i + 1]) / total) for i in range(len(stages))]
    steps = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    kept = [{**stage, "steps": count} for stage, count in zip(stages, steps, strict=True) if count]
    return {**training, "curriculum": kept, "final_rate": 1.0}, qat_steps


def _finetune_settings(training: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """The quantised part: the same data and peak rate, no teacher (its float model is half-trained)."""
    same = {key: training[key] for key in ("chunk_lens", "least_entries", "mixture") if key in training}
    return {
        **same,
        "curriculum": training["curriculum"],
        "steps": steps,
        "learning_rate": training["learning_rate"],
        "autocast": training.get("autocast", "auto"),
        "distill_weight": 0.0,
    }


def _untrained(variant: str) -> str:
    """The variant with the same recipe and no training."""
    recipe = VARIANTS.get(variant).recipe
    for name in VARIANTS:
        other = VARIANTS.get(name)
        if other.mode == "ptq" and other.budget is None and other.recipe == recipe:
            return name
    raise ValueError(f"variant {variant!r}: found no variant of the same recipe without training")
