"""Weighted mixture of tasks for training batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch
from synapnet_edge.tasks.catalog import TASKS


class Mixture:
    """Draws every row's task from `weights`.

    Parameters
    ----------
    weights : mapping
        Registry name to relative weight; they need not sum to one, and 0 leaves a task out.

    Raises
    ------
    UnknownNameError
        For a task that does not exist.
    ValueError
        For a mixture without a positive weight, or a negative weight.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        for name, weight in weights.items():
            if not weight >= 0:
                raise ValueError(f"mixture weight of {name!r}: expected a number >= 0, got {weight}")
        self.tasks = {name: TASKS.get(name) for name in weights}
        self.weights = {name: float(weight) for name, weight in weights.items() if weight > 0}
        if not self.weights:
            raise ValueError(f"mixture: expected at least one positive weight, got {dict(weights)}")

    def shares(self, length: int, factors: Mapping[str, float] | None = None) -> dict[str, float]:
        """Probability of every task that fits in `length`; raises ValueError if none does.

        `factors` (task to a number >= 0, not all of them 0) multiply the weights.
        """
        weights = {n: w * (1.0 if factors is None else factors[n]) for n, w in self.weights.items()}
        drawn = {name: weight for name, weight in weights.items() if weight > 0}
        fitting = {n: w for n, w in drawn.items() if self.tasks[n].min_length <= length}
        if not fitting:
            needed = min(self.tasks[name].min_length for name in drawn)
            raise ValueError(
                f"no task of the mixture fits: the shortest needs a length of {needed} tokens, got {length}"
            )
        total = sum(fitting.values())
        return {name: weight / total for name, weight in fitting.items()}

    def batch(
        self,
        rng: np.random.Generator,
        batch: int,
        length: int,
        readouts: int,
        factors: Mapping[str, float] | None = None,
    ) -> TaskBatch:
        """Rows of all tasks in random order; `meta["task"]` [B] indexes `list(self.weights)`.

        Up to `readouts` questions a row, and what a task adds as intermediate results; `factors` as in
        `shares`.
        """
        shares = self.shares(length, factors)
        counts = rng.multinomial(batch, list(shares.values()))
        parts: list[TaskBatch] = []
        for name, count in zip(shares, counts, strict=True):
            if count:
                task = self.tasks[name]
                part = task.with_intermediate(task.training_batch(rng, int(count), length, readouts))
                part.meta = {"task": np.full(count, list(self.weights).index(name))}
                parts.append(part)
        return _concatenate(parts).take(rng.permutation(batch))

    def haystacks(self, batch: TaskBatch) -> list[str | None]:
        """`Task.haystack` of each row of a batch."""
        kinds = [self.tasks[name].haystack for name in self.weights]
        return [kinds[task] for task in batch.meta["task"]]


def _concatenate(parts: list[TaskBatch]) -> TaskBatch:
    """Batches of one length as one; missing read-outs are padded with -100 at the last position."""
    columns = max(part.targets.shape[1] for part in parts)
    last = parts[0].input_ids.shape[1] - 1

    def padded(values: np.ndarray, fill: int) -> np.ndarray:
        missing = columns - values.shape[1]
        return np.pad(values, ((0, 0), (missing, 0)), constant_values=fill)

    return TaskBatch(
        np.concatenate([part.input_ids for part in parts]),
        np.concatenate([padded(part.targets, IGNORE) for part in parts]),
        np.concatenate([padded(part.target_pos, last) for part in parts]),
        {key: np.concatenate([part.meta[key] for part in parts]) for key in parts[0].meta},
    )
