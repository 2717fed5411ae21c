"""Learning rates tried before the training of a baseline."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from synapnet_edge.baselines.shape import Shape
from synapnet_edge.baselines.train import BaselineTrainer
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.training.objective import DivergedError
from synapnet_edge.training.schedule import PretrainConfig

SWEEP_COLUMNS = [
    "contender",
    "seed",
    "rate",
    "learning_rate",
    "steps",
    "loss",
    "accuracy",
    "core_seconds",
    "chosen",
]
LAST = 0.1  # share of a sweep's steps whose mean loss decides


def sweep(
    shape: Shape,
    reference: Mapping[str, Any],
    settings: Mapping[str, Any],
    rates: Sequence[float],
    share: float,
    seed: int,
    device: str = "cpu",
    progress: bool = True,
) -> pd.DataFrame:
    """Train briefly at every rate and choose the one with the least loss at the end.

    Parameters
    ----------
    rates : sequence of float
        Multiples of the reference model's learning rate.
    share : float
        Share of each curriculum stage's steps (and of the warm-up) that a trial takes.

    Returns
    -------
    DataFrame
        `SWEEP_COLUMNS`, one row per rate; loss and accuracy: mean of the last tenth of the steps, on batches
        not seen before. A rate that diverges has an infinite loss.

    Raises
    ------
    ValueError
        If every rate diverges.
    """
    base = PretrainConfig.from_dict(settings)
    short = shortened(base, share)
    rows = []
    for multiple in rates:
        rate = multiple * base.learning_rate
        trial = dataclasses.replace(short, learning_rate=rate)
        rows.append(
            {
                "rate": multiple,
                "learning_rate": rate,
                **_trial(shape, reference, trial, seed, device, progress),
            }
        )
    table = pd.DataFrame(rows).assign(contender=shape.kind, seed=seed, steps=short.steps)
    if table["loss"].isin([float("inf")]).all():
        raise ValueError(
            f"{shape.kind}: every learning rate of {list(rates)} times {base.learning_rate} diverges"
        )
    table["chosen"] = table.index == table["loss"].idxmin()
    return table[SWEEP_COLUMNS]


def shortened(config: PretrainConfig, share: float) -> PretrainConfig:
    """The same curriculum with `share` of its steps, without probes and extensions."""
    stages = tuple(
        dataclasses.replace(stage, steps=max(1, round(share * stage.steps))) for stage in config.curriculum
    )
    warmup = max(1, round(share * config.warmup_steps))
    return dataclasses.replace(
        config,
        extensions=(),
        curriculum=stages,
        warmup_steps=warmup,
        probe=dataclasses.replace(config.probe, tasks=()),
    )


def chosen_rate(table: pd.DataFrame) -> float:
    """The learning rate that a sweep chose."""
    return float(table.loc[table["chosen"], "learning_rate"].iloc[0])


def _trial(
    shape: Shape, reference: Mapping[str, Any], config: PretrainConfig, seed: int, device: str, progress: bool
) -> dict[str, float]:
    cfg = SynapNetEdgeConfig.from_dict(reference)
    trainer = BaselineTrainer(shape, cfg, config, seed, torch.device(device))
    trainer.model.train()
    start, rows = time.process_time(), []
    try:
        rows = [trainer.train_step(step) for step in range(config.steps)]
    except DivergedError:
        return {"loss": float("inf"), "accuracy": 0.0, "core_seconds": time.process_time() - start}
    last = pd.DataFrame(rows[-max(1, round(LAST * len(rows))) :])
    seconds = time.process_time() - start
    return {"loss": last["loss"].mean(), "accuracy": last["accuracy"].mean(), "core_seconds": seconds}
