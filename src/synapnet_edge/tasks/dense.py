"""The dense regime: records in proportion to the length, not a fixed number in ever more background."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.guarded import GuardedTask

MOST_RECORDS = 512


class Dense(GuardedTask):
    """A task whose number of records grows with the length; its rows are otherwise those of the plain task.

    With a fixed number of records a longer row tests whether they are kept and found among more background;
    here it also tests how many of them the memory holds.

    Parameters
    ----------
    name : str
        Registry name, also part of every row's seed.
    make : callable
        Number of records -> the task with that many of them.
    spacing : int
        Tokens of a row for each record.
    least : int
        Fewest records, in short rows. At most there are 512.

    Notes
    -----
    Guess: that of the task with the length's number of records.
    """

    def __init__(self, name: str, make: Callable[[int], GuardedTask], spacing: int, least: int = 2) -> None:
        shortest = make(least)
        super().__init__(name, shortest.min_length, shortest.layout)
        self.suite, self.version = shortest.suite, shortest.version
        self.needle_width, self.metrics = shortest.needle_width, shortest.metrics
        self.spacing, self.least = spacing, least
        self._make = lru_cache(maxsize=None)(make)

    def records(self, length: int) -> int:
        """Records of a row of `length` tokens."""
        return min(MOST_RECORDS, max(self.least, length // self.spacing))

    def guess(self, length: int) -> float:
        return self._at(length).guess(length)

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        return self._at(input_ids.shape[1]).oracle(input_ids)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        return self._at(length)._build(rng, batch, length, readouts)

    def _at(self, length: int) -> GuardedTask:
        return self._make(self.records(length))
