"""Base of the tasks made of short records of which one name is asked at a time."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.blocks import Planted, sample_starts, spread_blocks, with_readouts, write_blocks
from synapnet_edge.tasks.guarded import GuardedTask
from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.ruler.haystack import TAIL, framed_background

BLOCK = 3


@dataclass
class Drawn:
    """Records of a batch, in the order of the sequence.

    Attributes
    ----------
    tokens : [B, N, W] int64
        Tokens of every record; -1 leaves the background as it is.
    ready : [B, N + 1] bool
        Whether a block may stand where exactly k records are complete.
    facts : dict of arrays
        What the task needs to answer; also the source of `candidates` in the meta data.
    """

    tokens: np.ndarray
    ready: np.ndarray
    facts: dict[str, np.ndarray] = field(default_factory=dict)


class RecordTask(GuardedTask):
    """Row: BOS, background with `records` windows of `window` tokens, the tail of eight with the question.

    A block is QUERY, name, SEP.

    Parameters
    ----------
    name : str
        Registry name.
    records, window : int
        Records of a row; tokens that each of them reserves.
    names : int
        Distinct names of a row.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        If the layout has too few names.
    """

    suite = "needlebench"
    lead = 0  # tokens of a window before the needle itself

    def __init__(self, name: str, records: int, window: int, names: int, layout: Layout = LAYOUT) -> None:
        if names > layout.names:
            raise ValueError(f"{name} needs {names} names, only {layout.names} are available")
        self.records = records
        self.window = window
        super().__init__(name, 1 + window * records + TAIL, layout)

    @abstractmethod
    def _draw(self, rng: np.random.Generator, batch: int) -> Drawn:
        """Draw the records of a batch."""

    @abstractmethod
    def _ask(self, rng: np.random.Generator, drawn: Drawn, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Asked name tokens and labels, both [B, Q], of blocks behind `seen` [B, Q] complete records.

        Where `seen` is 0 there is no block and the result means nothing.
        """

    @abstractmethod
    def _final(self, rng: np.random.Generator, drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Asked name token [B], label [B] and the records that hold the answer [B, R], -1 = none."""

    def _place(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        """Ascending starts of the windows [B, N]."""
        return sample_starts(rng, batch, self.records, 1, length - TAIL, self.window)

    def _clean(self, rng: np.random.Generator, ids: np.ndarray, starts: np.ndarray, drawn: Drawn) -> None:
        """Remove accidental records of the background; markers never occur there, so mostly nothing to do."""

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        ids = framed_background(rng, batch, length, BLOCK, self.layout)
        starts = self._place(rng, batch, length)
        drawn = self._draw(rng, batch)
        for offset in range(self.window):
            row, column = np.nonzero(drawn.tokens[:, :, offset] >= 0)
            ids[row, starts[row, column] + offset] = drawn.tokens[row, column, offset]
        planted = Planted(starts, self.window, drawn.ready)
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, BLOCK, readouts - 1)
        names, labels = self._ask(rng, drawn, seen)
        write_blocks(ids, blocks, BLOCK, names)
        self._clean(rng, ids, starts, drawn)
        ids[:, -2], final, holds = self._final(rng, drawn)
        result = with_readouts(ids, blocks, BLOCK, labels, final)
        needles = starts + self.lead
        target = np.where(holds >= 0, np.take_along_axis(needles, np.maximum(holds, 0), 1), -1)
        result.meta = {"needle_pos": needles, "target_needle": target, "depth": target[:, 0] / length}
        if "candidates" in drawn.facts:
            result.meta["candidates"] = drawn.facts["candidates"]
        return result


def pick(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """Column of a random true entry of every row, [B, 1]; 0 in a row without one."""
    return np.where(mask, 1 - rng.random(mask.shape), 0).argmax(1)[:, None]


def last_of(owners: np.ndarray, count: int) -> np.ndarray:
    """[B, N + 1, count] int64: the last of the first k records that owner j has, -1 before its first."""
    batch, records = owners.shape
    index = np.where(owners[:, :, None] == np.arange(count), np.arange(records)[:, None], -1)
    before = np.full((batch, 1, count), -1)
    return np.maximum.accumulate(np.concatenate([before, index], axis=1), axis=1)


def at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """`values[b, index[b, q]]`: arrays [B, N] and [B, Q]."""
    return np.take_along_axis(values, index, 1)
