"""Key-value pairs of which one is asked: niah_multi_key (4 pairs) and mkn (6 pairs).

The label is the value's index among the value classes, not its token class.
"""

from __future__ import annotations

import math
import random

import numpy as np

from synapnet_edge.tasks.blocks import Planted, distinct_integers, ready_after, sample_starts
from synapnet_edge.tasks.layout import ANSWER_START, NUM_CLASSES
from synapnet_edge.tasks.reference.protocol import ReferenceTask, Sample, at_columns, last_true


def key_classes(needles: int) -> int:
    """Number of classes used as keys; the rest of the 64 are values."""
    return max(NUM_CLASSES // 2, needles + 1)


def expected_top_multiplicity(draws: int, values: int) -> float:
    """Expected count of the most frequent value in `draws` uniform draws from `values` values."""
    # P(no value occurs more than m times), m = 0..draws - 1, from exponential generating functions.
    below = []
    for most in range(draws):
        one_value = np.array([1 / math.factorial(times) for times in range(most + 1)])
        product = np.array([1.0])
        for _ in range(values):
            product = np.convolve(product, one_value)[: draws + 1]
        below.append(product[draws] * math.factorial(draws) / values**draws if len(product) > draws else 0.0)
    return float(sum(1 - probability for probability in below))


class KeyValueTask(ReferenceTask):
    """Base of the tasks that ask a key and want the value written behind it."""

    keyed = True
    needle_width = 2
    needles: int

    @property
    def keys(self) -> int:
        """Key classes; key k is token 5 + k, value v token 5 + keys + v."""
        return key_classes(self.needles)

    @property
    def values(self) -> int:
        return self.num_classes - self.keys

    @property
    def value_start(self) -> int:
        return ANSWER_START + self.keys

    def chance(self, length: int) -> float:
        return 1 / self.values

    def _write_pairs(
        self, input_ids: np.ndarray, starts: np.ndarray, keys: np.ndarray, values: np.ndarray
    ) -> None:
        np.put_along_axis(input_ids, starts, ANSWER_START + keys, 1)
        np.put_along_axis(input_ids, starts + 1, self.value_start + values, 1)

    def _solve(self, body: np.ndarray, needle: np.ndarray, query: np.ndarray) -> np.ndarray:
        """The value behind the last occurrence of the asked key that still has one."""
        value = needle & (body >= self.value_start)
        hit = needle[:, :-1] & (body[:, :-1] == query[:, None]) & value[:, 1:]
        found = np.clip(at_columns(body[:, 1:], last_true(hit)) - self.value_start, 0, self.values - 1)
        # A needle written over the asked value (0.5 % of the protocol's rows) leaves nothing to read.
        return np.where(hit.any(1), found, 0)


class NiahMultiKey(KeyValueTask):
    """Distinct keys, values with repetition, starts anywhere: a later pair may overwrite an earlier value.

    Guess: the value that occurs most often in the context, 29.5 % for four pairs (23.5 % for six); a little
    above "a random value of the context" (27 %, 19 %), because equal values are counted together.
    """

    name = "reference/niah_multi_key"
    suite = "ruler_reference"
    needles = 4

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(self.needles, self.values) / self.needles

    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        keys = rng.sample(range(self.keys), self.needles)
        values = [rng.randint(0, self.values - 1) for _ in range(self.needles)]
        positions = sorted(rng.sample(range(2, len(row) - 4), self.needles))
        for position, key, value in zip(positions, keys, values, strict=True):
            row[position] = ANSWER_START + key
            row[position + 1] = self.value_start + value
        asked = rng.randint(0, self.needles - 1)
        row[-2] = ANSWER_START + keys[asked]
        return Sample(values[asked], positions, [positions[asked]])

    def _plant(self, rng: np.random.Generator, input_ids: np.ndarray) -> Planted:
        batch, length = input_ids.shape
        starts = sample_starts(rng, batch, self.needles, 2, length - 3, 2)
        keys = distinct_integers(rng, batch, self.needles, self.keys)
        values = rng.integers(0, self.values, starts.shape)
        self._write_pairs(input_ids, starts, keys, values)
        ready = ready_after(1, batch, self.needles)
        return Planted(starts, 2, ready, {"keys": keys, "values": values})

    def _answer(
        self, rng: np.random.Generator, planted: Planted, seen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        asked = (rng.random(seen.shape) * seen).astype(np.int64)
        keys = np.take_along_axis(planted.facts["keys"], asked, 1)
        return ANSWER_START + keys, np.take_along_axis(planted.facts["values"], asked, 1)


class Mkn(NiahMultiKey):
    """niah_multi_key with six pairs."""

    name = "reference/mkn"
    suite = "needlebench_reference"
    needles = 6
