"""Common frame of the reference protocol (the previous public SynapNet-Edge generators).

Rows reproduce its random streams: one `random.Random(seed)` for the structure and one torch CPU generator
with the same seed for the filler, drawn for the whole sequence before each sample's structure. Kept for
comparison with published numbers only; most of these tasks have a shortcut, which `guess` states.
"""

from __future__ import annotations

import random
import zlib
from abc import abstractmethod
from typing import NamedTuple

import numpy as np
import torch

from synapnet_edge.tasks.base import Task, TaskBatch, pad_columns, split_id
from synapnet_edge.tasks.blocks import Planted, spread_blocks, with_readouts, write_blocks
from synapnet_edge.tasks.layout import ANSWER_START, BOS, NUM_CLASSES, QUERY, SEP, VOCAB_SIZE

FILLER_START = ANSWER_START + NUM_CLASSES


class Sample(NamedTuple):
    """Structure of one row: label, starts of all needles, starts of those that hold the answer."""

    label: int
    needles: list[int]
    targets: list[int]


class ReferenceTask(Task):
    """A task of the reference protocol.

    The row ends in [QUERY, SEP], or in [QUERY, key, SEP] where `keyed`.
    """

    keyed: bool = False
    haystack = "reference"

    @property
    def tail(self) -> int:
        """Tokens of the final query block."""
        return 3 if self.keyed else 2

    def rows(self, seed: int, n: int, length: int, split: str = "test") -> TaskBatch:
        """Split "test" is the published protocol; other splits use streams of their own."""
        self._check_request(n, length)
        stream = self._stream_seed(seed, length, split)
        structure = random.Random(stream)
        filler = torch.Generator().manual_seed(stream)
        input_ids = np.empty((n, length), dtype=np.int64)
        samples = []
        for row in input_ids:
            row[:] = torch.randint(FILLER_START, VOCAB_SIZE, (length,), generator=filler).numpy()
            row[0], row[-self.tail], row[-1] = BOS, QUERY, SEP
            samples.append(self._draw(structure, row))
        target_needle = pad_columns([sample.targets for sample in samples])
        meta = {
            "needle_pos": pad_columns([sample.needles for sample in samples]),
            "target_needle": target_needle,
            "depth": target_needle[:, 0] / length,
        }
        labels = np.array([[sample.label] for sample in samples], dtype=np.int64)
        return TaskBatch(input_ids, labels, np.full((n, 1), length - 1, dtype=np.int64), meta)

    def training_batch(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        self._check_request(batch, length, readouts)
        input_ids = rng.integers(FILLER_START, VOCAB_SIZE, (batch, length), dtype=np.int64)
        input_ids[:, 0], input_ids[:, -self.tail], input_ids[:, -1] = BOS, QUERY, SEP
        planted = self._plant(rng, input_ids)
        starts, seen = spread_blocks(rng, planted, length, length - self.tail, self.tail, readouts - 1)
        arguments, labels = self._answer(rng, planted, seen)
        write_blocks(input_ids, starts, self.tail, arguments)
        argument, final = self._final(rng, planted)
        if argument is not None:
            input_ids[:, -2] = argument
        result = with_readouts(input_ids, starts, self.tail, labels, final)
        result.meta["needle_pos"] = planted.starts
        return result

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        body = input_ids[:, : -self.tail]
        # The key inside an earlier query block is a question, not a needle.
        asked = np.zeros(body.shape, dtype=bool)
        asked[:, 1:] = body[:, :-1] == QUERY
        needle = (body >= ANSWER_START) & (body < FILLER_START) & ~asked
        return self._solve(body, needle, input_ids[:, -2])

    @abstractmethod
    def _draw(self, rng: random.Random, row: np.ndarray) -> Sample:
        """Write one sample's needles (and asked key) into `row`, in the protocol's draw order."""

    @abstractmethod
    def _plant(self, rng: np.random.Generator, input_ids: np.ndarray) -> Planted:
        """Write a batch's needles into `input_ids` with the distribution of `_draw`, none overlapping."""

    @abstractmethod
    def _answer(
        self, rng: np.random.Generator, planted: Planted, seen: np.ndarray
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Asked key tokens [B, Q] (None if not keyed) and labels [B, Q] where `seen` needles are complete."""

    @abstractmethod
    def _solve(self, body: np.ndarray, needle: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Labels [B] from the body [B, L - tail], its class tokens (bool) and the token before SEP [B]."""

    def _final(self, rng: np.random.Generator, planted: Planted) -> tuple[np.ndarray | None, np.ndarray]:
        """Asked key token [B] and label [B] of the block at the end of the row."""
        argument, label = self._answer(rng, planted, planted.present[:, None])
        return None if argument is None else argument[:, 0], label[:, 0]

    def _stream_seed(self, seed: int, length: int, split: str) -> int:
        if split == "test":
            return seed
        key = (split_id(split), zlib.crc32(self.name.encode()), length)
        state = np.random.SeedSequence(entropy=seed, spawn_key=key).generate_state(1, np.uint64)
        return int(state[0] >> np.uint64(1))


def last_true(mask: np.ndarray) -> np.ndarray:
    """Column of the last true entry of every row (the last column where there is none), [B]."""
    return mask.shape[1] - 1 - mask[:, ::-1].argmax(1)


def at_columns(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """values[b, columns[b]] for every row, [B]."""
    return np.take_along_axis(values, columns[:, None], 1)[:, 0]
