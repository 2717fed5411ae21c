"""Averages as LongBench reports them: of a category over its tasks, and of all over the categories."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from synapnet_edge.evaluation.resampling import resampled_means
from synapnet_edge.evaluation.statistics import Interval

RESAMPLES = 2000
COLUMNS = ["set", "system", "bucket", "category", "tasks", "n", "score", "ci_low", "ci_high", "skipped"]
TOTAL = "total"


def bootstrap_means(values: Sequence[float], seed: int, name: str) -> np.ndarray:
    """[RESAMPLES] bootstrap means of one cell, nan for fewer than two rows; cells are drawn independently."""
    if len(values) < 2:
        return np.full(RESAMPLES, np.nan)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return resampled_means([np.asarray(values, dtype=float)[None]], RESAMPLES, rng)[0]


def mean_interval(values: Sequence[float], seed: int, name: str) -> Interval:
    """95 % percentile bootstrap interval of a mean; nan for fewer than two values.

    Where all values are equal it has no width: the rows then hold no sign of how much others would differ.
    """
    return _interval(bootstrap_means(values, seed, name))


def category_scores(scores: pd.DataFrame, rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Category and total scores of the tables that a run returns.

    Returns
    -------
    DataFrame with `COLUMNS`, one row per set, system, bucket and category, and one with category "total".
    `tasks` counts the tasks that enter, `skipped` names those that do not: a mean over fewer tasks is no
    published LongBench score. Intervals come from resampling the rows of every task.
    """
    found: list[dict[str, Any]] = []
    for (name, system, bucket), cells in scores.groupby(["set", "system", "bucket"], sort=False):
        its = rows[(rows["set"] == name) & (rows["system"] == system) & (rows["bucket"] == bucket)]
        values = {task: part["score"].to_numpy() for task, part in its.groupby("task")}
        means = {task: bootstrap_means(part, seed, f"{task} {bucket}") for task, part in values.items()}
        averages = []
        for category, part in cells.groupby("category", sort=False):
            scored = [task for task in part["task"] if task in values]
            row = {"set": name, "system": system, "bucket": bucket, "category": category}
            row |= {"tasks": len(scored), "n": sum(len(values[task]) for task in scored)}
            row |= {"skipped": " ".join(task for task in part["task"] if task not in values)}
            if scored:
                score = np.mean([values[task].mean() for task in scored])
                averages.append((score, np.mean([means[task] for task in scored], axis=0)))
                row |= _measured(*averages[-1])
            found.append(row)
        total = {"set": name, "system": system, "bucket": bucket, "category": TOTAL, "tasks": len(values)}
        total |= {"n": len(its), "skipped": " ".join(task for task in cells["task"] if task not in values)}
        if averages:
            total |= _measured(*(np.mean(part, axis=0) for part in zip(*averages, strict=True)))
        found.append(total)
    return pd.DataFrame(found, columns=COLUMNS)


def _measured(score: float, means: np.ndarray) -> dict[str, float]:
    low, high = _interval(means)
    return {"score": float(score), "ci_low": low, "ci_high": high}


def _interval(means: np.ndarray) -> Interval:
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))
