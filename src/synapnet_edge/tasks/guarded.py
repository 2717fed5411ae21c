"""Common frame of the guarded tasks: one vectorised builder behind evaluation rows and training batches."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from synapnet_edge.tasks.base import Task, TaskBatch, row_key
from synapnet_edge.tasks.layout import LAYOUT, Layout


class GuardedTask(Task):
    """A task whose rows all come from `_build`, evaluation rows one at a time from keys of their own.

    Parameters
    ----------
    name : str
        Registry name.
    min_length : int
        Tokens the task needs; sequences are never shorter than 32.
    layout : Layout
        Token ranges.
    """

    suite = "ruler"
    haystack = "guarded"

    def __init__(self, name: str, min_length: int, layout: Layout = LAYOUT) -> None:
        self.name = name
        self.layout = layout
        self.num_classes = layout.num_classes
        self.min_length = max(32, min_length)

    def chance(self, length: int) -> float:
        return 1 / self.num_classes

    def rows(self, seed: int, n: int, length: int, split: str = "test") -> TaskBatch:
        self._check_request(n, length)
        batches = [self.row(seed, index, length, split) for index in range(n)]
        return TaskBatch(
            np.concatenate([batch.input_ids for batch in batches]),
            np.concatenate([batch.targets for batch in batches]),
            np.concatenate([batch.target_pos for batch in batches]),
            {key: np.concatenate([batch.meta[key] for batch in batches]) for key in batches[0].meta},
        )

    def row(self, seed: int, index: int, length: int, split: str = "test") -> TaskBatch:
        """Row `index` alone, from its own key: any subset and order of rows gives the same bytes."""
        rng = np.random.default_rng(row_key(seed, self.name, length, index, split))
        return self._build(rng, 1, length, 1)

    def training_batch(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        self._check_request(batch, length, readouts)
        return self._build(rng, batch, length, readouts)

    @abstractmethod
    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        """`batch` rows with up to `readouts` read-outs; evaluation rows are batches of one with one."""

    def _or_random(self, hit: float) -> float:
        """Accuracy of a guess that points at the answer with probability `hit`, else at an unrelated one."""
        return hit + (1 - hit) / self.num_classes
