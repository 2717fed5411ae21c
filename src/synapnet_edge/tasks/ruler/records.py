"""Records of one format, `keys... values...`, planted in a haystack and asked by their keys."""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.blocks import (
    Planted,
    distinct_integers,
    ready_after,
    sample_starts,
    spread_blocks,
    with_readouts,
    write_blocks,
)
from synapnet_edge.tasks.guarded import GuardedTask
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.ruler.haystack import (
    TAIL,
    framed_background,
    is_answer,
    redraw_accidental_records,
)


def write_records(ids: np.ndarray, starts: np.ndarray, records: np.ndarray) -> None:
    """Write records [B, N, width] at `starts` [B, N], in place."""
    for offset in range(records.shape[2]):
        np.put_along_axis(ids, starts + offset, records[:, :, offset], 1)


def ask(
    rng: np.random.Generator,
    ids: np.ndarray,
    planted: tuple[np.ndarray, int],
    arguments: np.ndarray,
    labels: np.ndarray,
    readouts: int,
) -> TaskBatch:
    """Put questions about planted records into the free space and at the end of every row.

    Parameters
    ----------
    ids : [B, L]
        Written in place.
    planted : (starts [B, N], width)
        The records, in the order of the sequence.
    arguments : [B, K, A]
        Argument tokens of every question; each record has K / N of them, in the order of the records.
    labels : [B, K]
    readouts : int
        Blocks of a row, the one at the end included. Those inside ask only about records before them.

    Returns
    -------
    TaskBatch
        Its meta holds the common entries and `target_index`, the question at the end.
    """
    starts, width = planted
    batch, length = ids.shape
    block, each = arguments.shape[2] + 2, labels.shape[1] // starts.shape[1]
    ready = ready_after(1, batch, starts.shape[1])
    free = Planted(starts, width, ready)
    blocks, seen = spread_blocks(rng, free, length, length - TAIL, block, readouts - 1)
    asked = (rng.random(blocks.shape) * seen * each).astype(np.int64)
    write_blocks(ids, blocks, block, np.take_along_axis(arguments, asked[:, :, None], 1))
    last = rng.integers(0, labels.shape[1], (batch, 1))
    ids[:, -block + 1 : -1] = np.take_along_axis(arguments, last[:, :, None], 1)[:, 0]
    result = with_readouts(
        ids,
        blocks,
        block,
        np.take_along_axis(labels, asked, 1),
        np.take_along_axis(labels, last, 1)[:, 0],
    )
    target = np.take_along_axis(starts, last // each, 1)
    result.meta = {
        "needle_pos": starts,
        "target_needle": target,
        "depth": target[:, 0] / length,
        "target_index": last[:, 0],
    }
    return result


class RecordTask(GuardedTask):
    """Retrieve one value of the record with the asked keys.

    Row: BOS, haystack with the records at independent uniform places, the tail of eight tokens. Values are
    independent. A block is QUERY, the keys, ORD_j if records have several values (j counts from 0), SEP.

    Parameters
    ----------
    name : str
        Registry name.
    records : int
        Planted records of the longest rows.
    keys, slots : int
        Names and values of a record.
    names : int
        Distinct names a row needs.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        If the layout has too few names or ordinals.
    """

    def __init__(
        self, name: str, records: int, keys: int, slots: int, names: int, layout: Layout = LAYOUT
    ) -> None:
        if names > layout.names:
            raise ValueError(f"{name} needs {names} names, only {layout.names} are available")
        if 1 < slots > layout.ordinals:
            raise ValueError(f"{name} needs {slots} ordinals, only {layout.ordinals} are available")
        self.records, self.keys, self.slots = records, keys, slots
        self.needle_width = keys + slots
        self.block = keys + (slots > 1) + 2
        super().__init__(name, 1 + self.needle_width * self._count(0) + TAIL, layout)

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        ids, asked = input_ids, input_ids[:, -self.block + 1 : -1]
        places = ids.shape[1] - self.needle_width + 1
        hit = is_answer(ids[:, self.keys : self.keys + places], self.layout)
        for offset in range(self.keys):
            hit &= ids[:, offset : offset + places] == asked[:, offset : offset + 1]
        slot = asked[:, -1] - self.layout.ordinal_start if self.slots > 1 else 0
        value = np.take_along_axis(ids, (hit.argmax(1) + self.keys + slot)[:, None], 1)[:, 0]
        return np.where(hit.any(1), value - ANSWER_START, 0)

    def _count(self, length: int) -> int:
        """Records of a row; for length 0, of the shortest one."""
        return self.records

    def _haystack(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        return framed_background(rng, batch, length, self.block, self.layout)

    def _draw_keys(self, rng: np.random.Generator, batch: int, count: int) -> np.ndarray:
        """Keys of the records, [B, N, keys] tokens."""
        names = distinct_integers(rng, batch, count * self.keys, self.layout.names)
        return self.layout.name_start + names.reshape(batch, count, self.keys)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        count = self._count(length)
        ids = self._haystack(rng, batch, length)
        starts = sample_starts(rng, batch, count, 1, length - TAIL, self.needle_width)
        keys = self._draw_keys(rng, batch, count)
        values = rng.integers(0, self.num_classes, (batch, count, self.slots))
        write_records(ids, starts, np.concatenate([keys, ANSWER_START + values], axis=2))
        arguments = keys
        if self.slots > 1:
            ordinals = np.tile(self.layout.ordinal_start + np.arange(self.slots), (batch, count))
            arguments = np.dstack([keys.repeat(self.slots, axis=1), ordinals])
        planted = starts, self.needle_width
        result = ask(rng, ids, planted, arguments, values.reshape(batch, -1), readouts)
        redraw_accidental_records(rng, ids, starts + self.keys - 1, keys[:, :, -1], self.layout)
        return result
