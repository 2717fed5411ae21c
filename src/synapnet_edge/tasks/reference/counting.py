"""Counting over the whole context: fa (most frequent mark) and cn (how often a class occurs)."""

from __future__ import annotations

import random

import numpy as np

from synapnet_edge.tasks.blocks import Planted, ready_after, sample_starts
from synapnet_edge.tasks.layout import ANSWER_START
from synapnet_edge.tasks.reference.protocol import ReferenceTask, Sample


class FrequencyAggregation(ReferenceTask):
    """Sixteen marks, each the row's favourite with probability 0.6, else uniform; label = mode, ties lowest.

    Guess: any single mark is right in 61 % of the rows (measured; 60 % favourite, the rest by chance).
    Training asks only where the mode is unique and at least eight marks were seen: on a tie the rule "lowest
    class" is noise to learn from.
    """

    name = "reference/fa"
    suite = "ruler_reference"
    marks = 16
    favourite = 0.6
    asked_from = 8

    def chance(self, length: int) -> float:
        return 1 / self.num_classes

    def guess(self, length: int) -> float:
        return 0.61

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        positions = sorted(rng.sample(range(2, len(row) - 4), self.marks))
        favourite = rng.randint(0, self.num_classes - 1)
        classes = [
            favourite if rng.random() < self.favourite else rng.randint(0, self.num_classes - 1)
            for _ in positions
        ]
        row[positions] = ANSWER_START + np.array(classes)
        mode = min(set(classes), key=lambda c: (-classes.count(c), c))
        return Sample(mode, positions, [p for p, c in zip(positions, classes, strict=True) if c == mode])

    def _plant(self, rng: np.random.Generator, input_ids: np.ndarray) -> Planted:
        batch, length = input_ids.shape
        starts = sample_starts(rng, batch, self.marks, 2, length - 4, 1)
        classes = self._draw_marks(rng, batch)
        mode, unique = self._running_mode(classes)
        while not unique[:, -1].all():
            tied = np.flatnonzero(~unique[:, -1])
            classes[tied] = self._draw_marks(rng, len(tied))
            mode[tied], unique[tied] = self._running_mode(classes[tied])
        np.put_along_axis(input_ids, starts, ANSWER_START + classes, 1)
        ready = unique & (np.arange(self.marks + 1) >= self.asked_from)
        return Planted(starts, 1, ready, {"mode": mode})

    def _draw_marks(self, rng: np.random.Generator, batch: int) -> np.ndarray:
        favourite = rng.integers(0, self.num_classes, (batch, 1))
        uniform = rng.integers(0, self.num_classes, (batch, self.marks))
        return np.where(rng.random(uniform.shape) < self.favourite, favourite, uniform)

    def _running_mode(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mode after 0..N marks and whether it is unique, both [B, N + 1]."""
        votes = classes[:, :, None] == np.arange(self.num_classes)
        counts = np.cumsum(votes, axis=1, dtype=np.int16)
        counts = np.concatenate([np.zeros_like(counts[:, :1]), counts], axis=1)
        unique = (counts == counts.max(2, keepdims=True)).sum(2) == 1
        return counts.argmax(2), unique

    def _answer(
        self, rng: np.random.Generator, planted: Planted, seen: np.ndarray
    ) -> tuple[None, np.ndarray]:
        return None, np.take_along_axis(planted.facts["mode"], seen, 1)

    def _solve(self, body: np.ndarray, needle: np.ndarray, query: np.ndarray) -> np.ndarray:
        row, column = np.nonzero(needle)
        counts = np.zeros((len(body), self.num_classes), dtype=np.int64)
        np.add.at(counts, (row, body[row, column] - ANSWER_START), 1)
        return counts.argmax(1)


class CountNeedles(ReferenceTask):
    """A class from 0..31 is planted 1..8 times and asked for; label = how often it occurs.

    Guess: nothing else is marked, so counting all marks is right on every row.
    """

    name = "reference/cn"
    suite = "needlebench_reference"
    keyed = True
    most = 8
    targets = 32

    def chance(self, length: int) -> float:
        return 1 / self.most

    def guess(self, length: int) -> float:
        return 1.0

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        target = rng.randint(0, self.targets - 1)
        count = rng.randint(1, self.most)
        positions = sorted(rng.sample(range(2, len(row) - 4), count))
        row[positions] = ANSWER_START + target
        row[-2] = ANSWER_START + target
        return Sample(count, positions, positions)

    def _plant(self, rng: np.random.Generator, input_ids: np.ndarray) -> Planted:
        batch, length = input_ids.shape
        slots = sample_starts(rng, batch, self.most, 2, length - 4, 1)
        # Rows with all eight ask for every count equally often; in uniform ones high counts are rarely seen.
        count = np.where(rng.random((batch, 1)) < 0.75, self.most, rng.integers(1, self.most + 1, (batch, 1)))
        # A random subset of `count` of the eight slots, kept in order, absent ones (-1) at the end.
        chosen = rng.random(slots.shape).argsort(1).argsort(1) < count
        starts = np.sort(np.where(chosen, slots, length), axis=1)
        starts[starts == length] = -1
        target = ANSWER_START + rng.integers(0, self.targets, batch)
        row, column = np.nonzero(starts >= 0)
        input_ids[row, starts[row, column]] = target[row]
        return Planted(starts, 1, ready_after(1, batch, self.most), {"target": target})

    def _answer(
        self, rng: np.random.Generator, planted: Planted, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return np.broadcast_to(planted.facts["target"][:, None], seen.shape), seen

    def _solve(self, body: np.ndarray, needle: np.ndarray, query: np.ndarray) -> np.ndarray:
        return (needle & (body == query[:, None])).sum(1)
