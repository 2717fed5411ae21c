"""memory_pressure_niah: more pairs than a small memory holds, the asked one written three times."""

from __future__ import annotations

import math
import random

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.blocks import Planted, distinct_integers, ready_after, sample_starts
from synapnet_edge.tasks.layout import ANSWER_START
from synapnet_edge.tasks.reference.pairs import KeyValueTask
from synapnet_edge.tasks.reference.protocol import Sample

POSITIONS = ("early", "late", "anywhere")


class MemoryPressureNiah(KeyValueTask):
    """`needles` pairs (12 or 16 in the published grids), the asked pair three times, the others once.

    Parameters
    ----------
    needles : int
        Distinct pairs.
    position : {"early", "late", "anywhere"}
        Where the asked pair stands: first 40 %, last 40 % (the other pairs then use the rest) or anywhere.

    Notes
    -----
    Guess: "the key that occurs most often" is the asked one on every row, so its value needs no query; early
    and late also give the answer away by order. `in_context_guess` is the level without any binding.
    """

    name = "reference/memory_pressure_niah"
    suite = "memory_pressure_reference"
    copies = 3

    def __init__(self, needles: int = 12, position: str = "anywhere") -> None:
        if not 2 <= needles < self.num_classes:
            raise ValueError(f"needles: expected 2..{self.num_classes - 1}, got {needles}")
        self.needles = needles
        self.position = _checked_position(position)
        # The others must fit in 60 % of the row, half of it free, beside the frame and the copies.
        self.min_length = max(64, 32 * math.ceil((2 * needles + 11) / 0.6 / 32))

    def guess(self, length: int) -> float:
        return 1.0

    def in_context_guess(self, length: int) -> float:
        """Accuracy of a random value of the context: the level of a model that cannot bind at all."""
        share = self.copies / (self.needles - 1 + self.copies)
        return share + (1 - share) / self.values

    def rows(
        self, seed: int, n: int, length: int, split: str = "test", position: str | None = None
    ) -> TaskBatch:
        """Rows as in the protocol; `position` overrides the one given at construction."""
        if position is not None and _checked_position(position) != self.position:
            return MemoryPressureNiah(self.needles, position).rows(seed, n, length, split)
        return super().rows(seed, n, length, split)

    def _zones(self, length: int) -> tuple[range, range]:
        """Start positions of the asked pair's copies and of the other pairs."""
        stop = length - 5
        if self.position == "early":
            edge = max(4, int(length * 0.4))
            return range(2, edge), range(edge, stop)
        if self.position == "late":
            edge = int(length * 0.6)
            return range(edge, stop), range(2, edge)
        return range(2, stop), range(2, stop)

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        keys = rng.sample(range(self.keys), self.needles)
        values = [rng.randint(0, self.values - 1) for _ in range(self.needles)]
        asked = rng.randint(0, self.needles - 1)
        target_zone, other_zone = self._zones(len(row))
        targets = sorted(rng.sample(list(target_zone), self.copies))
        allowed = [p for p in other_zone if p not in targets and p + 1 not in targets]
        others = sorted(rng.sample(allowed, self.needles - 1))
        owners = [index for index in range(self.needles) if index != asked]
        # The protocol writes the others last: one right behind a copy overwrites that copy's value.
        for position, owner in zip(targets + others, [asked] * self.copies + owners, strict=True):
            row[position] = ANSWER_START + keys[owner]
            row[position + 1] = self.value_start + values[owner]
        row[-2] = ANSWER_START + keys[asked]
        return Sample(values[asked], sorted(targets + others), targets)

    def _plant(self, rng: np.random.Generator, input_ids: np.ndarray) -> Planted:
        batch, length = input_ids.shape
        writes = self.needles - 1 + self.copies
        owners = np.zeros((batch, writes), dtype=np.int64)  # needle 0 is the asked one
        owners[:, self.copies :] = np.arange(1, self.needles)
        if self.position == "anywhere":
            zone = self._zones(length)[0]
            starts = sample_starts(rng, batch, writes, zone.start, zone.stop + 1, 2)
            owners = rng.permuted(owners, axis=1)
        else:
            starts = self._plant_in_zones(rng, batch, length)
            order = starts.argsort(1)
            starts = np.take_along_axis(starts, order, 1)
            owners = np.take_along_axis(owners, order, 1)
        keys = np.take_along_axis(distinct_integers(rng, batch, self.needles, self.keys), owners, 1)
        values = np.take_along_axis(rng.integers(0, self.values, (batch, self.needles)), owners, 1)
        self._write_pairs(input_ids, starts, keys, values)
        asked = (owners == 0).argmax(1)[:, None]
        facts = {"keys": keys, "values": values, "asked": asked}
        return Planted(starts, 2, ready_after(1, batch, writes), facts)

    def _plant_in_zones(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        """Starts [B, copies + others]; the last start of the left zone keeps its value inside that zone."""
        counts = (self.copies, self.needles - 1)
        stop = length - 5
        return np.column_stack(
            [
                sample_starts(rng, batch, count, zone.start, zone.stop + (zone.stop == stop), 2)
                for zone, count in zip(self._zones(length), counts, strict=True)
            ]
        )

    def _answer(
        self, rng: np.random.Generator, planted: Planted, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._ask(planted, (rng.random(seen.shape) * seen).astype(np.int64))

    def _final(self, rng: np.random.Generator, planted: Planted) -> tuple[np.ndarray, np.ndarray]:
        tokens, labels = self._ask(planted, planted.facts["asked"])
        return tokens[:, 0], labels[:, 0]

    def _ask(self, planted: Planted, write: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = np.take_along_axis(planted.facts["keys"], write, 1)
        return ANSWER_START + keys, np.take_along_axis(planted.facts["values"], write, 1)


def _checked_position(position: str) -> str:
    if position not in POSITIONS:
        raise ValueError(f"position: expected one of {', '.join(POSITIONS)}, got {position!r}")
    return position
