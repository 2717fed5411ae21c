"""Rows of the reference `niah_single` construction of any length, made piece by piece."""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import row_key
from synapnet_edge.tasks.layout import ANSWER_START, BOS, NUM_CLASSES, QUERY, SEP, VOCAB_SIZE
from synapnet_edge.tasks.reference.protocol import FILLER_START

TASK = "reference/niah_single"
QUESTION = (QUERY, SEP)
_BLOCK = 4096  # tokens drawn at once; fixed, so that the rows do not depend on how they are cut


class LongHaystack:
    """One row per depth: BOS, filler ids, and one class token at `depth * tokens`; the question is not part.

    A row's class and each block of its filler have a random stream of their own, so any piece can be made
    without the tokens before it, and never more than one block per row is held.

    Parameters
    ----------
    tokens : int
        Length of the rows; filler goes on behind it if more is asked for.
    depths : sequence of float
        Place of the needle of each row as a share of `tokens`, 0 to 1.
    seed : int
        Seed of the rows.

    Attributes
    ----------
    needles, labels : array
        [B] int64, position and class of each row's needle.
    """

    def __init__(self, tokens: int, depths: np.ndarray, seed: int) -> None:
        if tokens < 3 or len(depths) == 0 or min(depths) < 0 or max(depths) > 1:
            raise ValueError(f"expected tokens >= 3 and depths in 0..1, got {tokens} and {list(depths)}")
        self.tokens, self.seed = tokens, seed
        self.needles = np.clip((np.asarray(depths) * tokens).astype(np.int64), 1, tokens - 1)
        self.labels = np.array([self._generator(row).integers(NUM_CLASSES) for row in range(len(depths))])
        self._block: tuple[int, np.ndarray] = (-1, np.empty((len(depths), 0), dtype=np.int64))

    def piece(self, start: int, stop: int) -> np.ndarray:
        """Tokens [B, stop - start] of all rows, from `start` on; the same however a row is cut."""
        if not 0 <= start < stop:
            raise ValueError(f"expected 0 <= start < stop, got {start} and {stop}")
        parts, at = [], start
        while at < stop:
            number, offset = divmod(at, _BLOCK)
            parts.append(self._filled(number)[:, offset : offset + stop - at])
            at += parts[-1].shape[1]
        return np.concatenate(parts, axis=1)

    def _filled(self, number: int) -> np.ndarray:
        if self._block[0] != number:
            rows = [
                self._generator(row, number).integers(FILLER_START, VOCAB_SIZE, _BLOCK)
                for row in range(len(self.needles))
            ]
            block, first = np.stack(rows), number * _BLOCK
            if number == 0:
                block[:, 0] = BOS
            here = np.flatnonzero((self.needles >= first) & (self.needles < first + _BLOCK))
            block[here, self.needles[here] - first] = ANSWER_START + self.labels[here]
            self._block = (number, block)
        return self._block[1]

    def _generator(self, row: int, *block: int) -> np.random.Generator:
        """Stream of a row's class, or of one block of its filler."""
        key = row_key(self.seed, TASK, self.tokens, row, "test")
        return np.random.default_rng(np.random.SeedSequence(key.entropy, spawn_key=(*key.spawn_key, *block)))
