"""How fast rows are made: tokens per second of `training_batch` and of `rows` for every registered task."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from synapnet_edge.tasks.catalog import TASKS

logger = logging.getLogger(__name__)

MADE = ("training", "evaluation")
COLUMNS = [
    "suite", "task", "task_version", "made", "batch", "length", "readouts", "repeats", "tokens_per_second",
    "ci_low", "ci_high",
]  # fmt: skip


def speed_table(tasks: Sequence[str], settings: Mapping[str, Any]) -> pd.DataFrame:
    """Median tokens/s over rounds in which every task makes one batch of each kind: drift hits all alike.

    Seconds are those of the processor: a batch takes milliseconds, and a wait for a busy core would count as
    many. On an idle machine they are those of the clock. Evaluation rows mostly cost more than training rows:
    each is drawn alone, from a seed of its own.

    Parameters
    ----------
    settings : mapping
        `batch` rows of `length` tokens (a task that needs more gets its smallest length) with `readouts`
        answers (evaluation rows: with their own), `repeats` rounds after one that is not counted, `seed`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; the interval is that of the median by order statistics, 95 % or more, nan for fewer
        than six repeats.
    """
    rng = np.random.default_rng(settings["seed"])
    lengths = {name: max(settings["length"], TASKS.get(name).min_length) for name in tasks}
    seconds: dict[tuple[str, str], list[float]] = {(name, made): [] for name in tasks for made in MADE}
    for repeat in range(settings["repeats"] + 1):
        logger.info("round %d of %d", repeat, settings["repeats"])
        for (name, made), found in seconds.items():
            task, batch, length = TASKS.get(name), settings["batch"], lengths[name]
            start = time.process_time()
            if made == "training":
                task.training_batch(rng, batch, length, settings["readouts"])
            else:
                task.rows(settings["seed"] + repeat, batch, length)
            if repeat:  # the first round loads and allocates
                found.append(time.process_time() - start)
    lines = [_line(*key, lengths[key[0]], found, settings) for key, found in seconds.items()]
    return pd.DataFrame(lines, columns=COLUMNS)


def _line(
    name: str, made: str, length: int, seconds: Sequence[float], settings: Mapping[str, Any]
) -> dict[str, Any]:
    speed = settings["batch"] * length / np.array(seconds)
    median = float(np.median(speed))
    interval = stats.quantile_test(speed, q=median, p=0.5).confidence_interval(0.95)
    task = TASKS.get(name)
    return {
        "suite": task.suite,
        "task": name,
        "task_version": task.version,
        "made": made,
        "batch": settings["batch"],
        "length": length,
        "readouts": settings["readouts"] if made == "training" else None,
        "repeats": len(speed),
        "tokens_per_second": median,
        "ci_low": float(interval.low),
        "ci_high": float(interval.high),
    }
