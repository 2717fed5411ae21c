"""One hidden class token, asked without a key: niah_single, snia and variable_track."""

from __future__ import annotations

import random
from abc import abstractmethod

import numpy as np

from synapnet_edge.tasks.blocks import Planted, ready_after, sample_starts
from synapnet_edge.tasks.layout import ANSWER_START
from synapnet_edge.tasks.reference.protocol import ReferenceTask, Sample, at_columns


class HiddenClass(ReferenceTask):
    """Base: the only class of the row is the answer, so "the only id in 5..68" solves all three (guess 1)."""

    def chance(self, length: int) -> float:
        return 1 / self.num_classes

    def guess(self, length: int) -> float:
        return 1.0

    @abstractmethod
    def _sample_positions(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        """Positions of the class token, [B, N]."""

    def _plant(self, rng: np.random.Generator, input_ids: np.ndarray) -> Planted:
        batch, length = input_ids.shape
        positions = self._sample_positions(rng, batch, length)
        classes = rng.integers(0, self.num_classes, batch)
        np.put_along_axis(input_ids, positions, ANSWER_START + classes[:, None], 1)
        ready = ready_after(1, batch, positions.shape[1])
        return Planted(positions, 1, ready, {"classes": classes})

    def _answer(
        self, rng: np.random.Generator, planted: Planted, seen: np.ndarray
    ) -> tuple[None, np.ndarray]:
        return None, np.broadcast_to(planted.facts["classes"][:, None], seen.shape)

    def _solve(self, body: np.ndarray, needle: np.ndarray, query: np.ndarray) -> np.ndarray:
        return at_columns(body, needle.argmax(1)) - ANSWER_START


class NiahSingle(HiddenClass):
    """Depth uniform in [0.05, 0.95]; class drawn before depth."""

    name = "reference/niah_single"
    suite = "ruler_reference"

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        label = rng.randint(0, self.num_classes - 1)
        position = max(1, min(len(row) - 3, int(rng.uniform(0.05, 0.95) * len(row))))
        row[position] = ANSWER_START + label
        return Sample(label, [position], [position])

    def _sample_positions(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        depth = rng.uniform(0.05, 0.95, (batch, 1))
        return np.clip((depth * length).astype(np.int64), 1, length - 3)


class Snia(HiddenClass):
    """Position uniform in [L/4, 3L/4]."""

    name = "reference/snia"
    suite = "needlebench_reference"

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        label = rng.randint(0, self.num_classes - 1)
        position = rng.randint(len(row) // 4, 3 * len(row) // 4)
        row[position] = ANSWER_START + label
        return Sample(label, [position], [position])

    def _sample_positions(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        return rng.integers(length // 4, 3 * length // 4 + 1, (batch, 1))


class VariableTrack(HiddenClass):
    """The same class token at four places; despite the published name there is no chain to follow."""

    name = "reference/variable_track"
    suite = "ruler_reference"
    events = 4

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        label = rng.randint(0, self.num_classes - 1)
        positions = sorted(rng.sample(range(2, len(row) - 4), self.events))
        row[positions] = ANSWER_START + label
        return Sample(label, positions, positions)

    def _sample_positions(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        return sample_starts(rng, batch, self.events, 2, length - 4, 1)
