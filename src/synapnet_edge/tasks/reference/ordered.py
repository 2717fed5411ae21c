"""Tasks decided by order: ron (the second mark) and adn (the last value of one key)."""

from __future__ import annotations

import random

import numpy as np

from synapnet_edge.tasks.blocks import Planted, ready_after, sample_starts
from synapnet_edge.tasks.layout import ANSWER_START
from synapnet_edge.tasks.reference.pairs import KeyValueTask
from synapnet_edge.tasks.reference.protocol import ReferenceTask, Sample, at_columns, last_true


class ReasoningOverNeedles(ReferenceTask):
    """Class a in the first half, its successor (a + 1) mod 64 in the second; label = the successor.

    Guess: the answer stands in the text, "the second mark" is right on every row.
    """

    name = "reference/ron"
    suite = "needlebench_reference"

    def chance(self, length: int) -> float:
        return 1 / self.num_classes

    def guess(self, length: int) -> float:
        return 1.0

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        first = rng.randint(0, self.num_classes - 1)
        label = (first + 1) % self.num_classes
        positions = [rng.randint(2, len(row) // 2), rng.randint(len(row) // 2, len(row) - 4)]
        row[positions[0]] = ANSWER_START + first
        row[positions[1]] = ANSWER_START + label
        return Sample(label, positions, positions[1:])

    def _plant(self, rng: np.random.Generator, input_ids: np.ndarray) -> Planted:
        batch, length = input_ids.shape
        first = rng.integers(0, self.num_classes, batch)
        label = (first + 1) % self.num_classes
        # The protocol lets both meet in the middle, which erases the first; training keeps them apart.
        before = rng.integers(2, length // 2, batch)
        after = rng.integers(length // 2, length - 3, batch)
        rows = np.arange(batch)
        input_ids[rows, before] = ANSWER_START + first
        input_ids[rows, after] = ANSWER_START + label
        return Planted(np.column_stack([before, after]), 1, ready_after(2, batch, 2), {"label": label})

    def _answer(
        self, rng: np.random.Generator, planted: Planted, seen: np.ndarray
    ) -> tuple[None, np.ndarray]:
        return None, np.broadcast_to(planted.facts["label"][:, None], seen.shape)

    def _solve(self, body: np.ndarray, needle: np.ndarray, query: np.ndarray) -> np.ndarray:
        return at_columns(body, last_true(needle)) - ANSWER_START


class AntiDistraction(KeyValueTask):
    """One key written nine times with random values; label = the last value.

    Guess: only one key occurs, "the last value" is right on every row.
    """

    name = "reference/adn"
    suite = "needlebench_reference"
    needles = 9

    def guess(self, length: int) -> float:
        return 1.0

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        key = rng.randint(0, self.keys - 1)
        label = rng.randint(0, self.values - 1)
        values = [rng.randint(0, self.values - 1) for _ in range(self.needles - 1)] + [label]
        positions = sorted(rng.sample(range(2, len(row) - 5), self.needles))
        for position, value in zip(positions, values, strict=True):
            row[position] = ANSWER_START + key
            row[position + 1] = self.value_start + value
        row[-2] = ANSWER_START + key
        return Sample(label, positions, positions[-1:])

    def _plant(self, rng: np.random.Generator, input_ids: np.ndarray) -> Planted:
        batch, length = input_ids.shape
        starts = sample_starts(rng, batch, self.needles, 2, length - 4, 2)
        keys = rng.integers(0, self.keys, (batch, 1))
        values = rng.integers(0, self.values, starts.shape)
        self._write_pairs(input_ids, starts, np.broadcast_to(keys, starts.shape), values)
        facts = {"keys": keys, "values": values}
        return Planted(starts, 2, ready_after(1, batch, self.needles), facts)

    def _answer(
        self, rng: np.random.Generator, planted: Planted, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        asked = np.broadcast_to(ANSWER_START + planted.facts["keys"], seen.shape)
        return asked, np.take_along_axis(planted.facts["values"], np.maximum(seen - 1, 0), 1)
