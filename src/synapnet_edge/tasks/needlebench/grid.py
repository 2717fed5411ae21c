"""snia and mkn: `name value` pairs on the depth grid, from the first place of a row to the last.

After the single- and multi-needle retrieval of NeedleBench (arXiv 2407.11963).
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch, pad_columns, row_key
from synapnet_edge.tasks.blocks import (
    Planted,
    distinct_integers,
    ready_after,
    sample_starts,
    spread_blocks,
    write_blocks,
)
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.haystack import TAIL, background, is_answer, redraw_accidental_records
from synapnet_edge.tasks.ruler.needles import BLOCK, KeyedNeedles

DEPTHS = 11  # 0, 10, ..., 100 % of the places a pair can have


class GridTask(KeyedNeedles):
    """Every pair of a row is asked at its end: background ids, QUERY, then `name SEP` for each of them.

    Evaluation rows put pairs exactly on the grid, training batches anywhere. Training adds blocks inside the
    row when more read-outs are asked for than the end has. `depth_index` [B, pairs] is the grid point next to
    the pair of every read-out at the end.

    Parameters
    ----------
    name : str
        Registry name.
    pairs : int
        Pairs of a row.
    tail : int
        Tokens at the end of a row without records.
    layout : Layout
        Token ranges.
    """

    suite = "needlebench"

    def __init__(self, name: str, pairs: int, tail: int, layout: Layout = LAYOUT) -> None:
        super().__init__(name, pairs, layout)
        self.tail = tail
        self.min_length = max(32, 1 + 2 * pairs + tail)

    def grid(self, length: int) -> np.ndarray:
        """Start of a pair at every depth, [11]."""
        first, last = 1, length - self.tail - 2
        return first + np.rint(np.arange(DEPTHS) * (last - first) / (DEPTHS - 1)).astype(np.int64)

    def _row_starts(self, index: int, length: int) -> np.ndarray:
        """Starts of the pairs of evaluation row `index`, [pairs]."""
        return self.grid(length)

    def row(self, seed: int, index: int, length: int, split: str = "test") -> TaskBatch:
        rng = np.random.default_rng(row_key(seed, self.name, length, index, split))
        return self._assemble(rng, self._row_starts(index, length)[None], length, 0)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        starts = sample_starts(rng, batch, self.pairs, 1, length - self.tail, 2)
        return self._assemble(rng, starts, length, max(readouts - self.pairs, 0))

    def _assemble(self, rng: np.random.Generator, starts: np.ndarray, length: int, inner: int) -> TaskBatch:
        layout, (batch, pairs) = self.layout, starts.shape
        ids = background(rng, batch, length, layout)
        ids[:, -self.tail :] = rng.integers(layout.background_start, layout.vocab_size, (batch, self.tail))
        names = layout.name_start + distinct_integers(rng, batch, pairs, layout.names)
        values = rng.integers(0, self.num_classes, (batch, pairs))
        np.put_along_axis(ids, starts, names, 1)
        np.put_along_axis(ids, starts + 1, ANSWER_START + values, 1)
        planted = Planted(starts, 2, ready_after(1, batch, pairs))
        blocks, seen = spread_blocks(rng, planted, length, length - self.tail, BLOCK, inner)
        asked = (rng.random(blocks.shape) * seen).astype(np.int64)
        write_blocks(ids, blocks, BLOCK, np.take_along_axis(names, asked, 1))
        redraw_accidental_records(rng, ids, starts, names, layout)
        order = rng.permuted(np.broadcast_to(np.arange(pairs), (batch, pairs)), axis=1)
        end = length - 1 - 2 * np.arange(pairs)[::-1]
        ids[:, 0], ids[:, end[0] - 2], ids[:, end] = BOS, QUERY, SEP
        ids[:, end - 1] = np.take_along_axis(names, order, 1)
        present = blocks >= 0
        labels = np.where(present, np.take_along_axis(values, asked, 1), IGNORE)
        target = np.take_along_axis(starts, order, 1)
        places = max(length - self.tail - 3, 1)
        return TaskBatch(
            ids,
            np.column_stack([labels, np.take_along_axis(values, order, 1)]).astype(np.int64),
            np.column_stack(
                [np.where(present, blocks + BLOCK - 1, length - 1), np.broadcast_to(end, (batch, pairs))]
            ),
            {
                "needle_pos": starts,
                "target_needle": target,
                "depth": target[:, 0] / length,
                "depth_index": np.rint((target - 1) * (DEPTHS - 1) / places).astype(np.int64),
                "candidates": values,
            },
        )


class Snia(GridTask):
    """niah_single_2 over the depth grid: evaluation row i has its only pair at depth i mod 11.

    Notes
    -----
    Guess (computed): any `name answer` bigram, as in niah_single_2: 79 % at 512 tokens, 63 % at 1024, 27 % at
    4096. It measures detection and retention; read it as a heat map over depth and length.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("needlebench/snia", 1, TAIL, layout)

    def _row_starts(self, index: int, length: int) -> np.ndarray:
        return self.grid(length)[index % DEPTHS, None]


class Mkn(GridTask):
    """Eleven pairs, one at every depth, all asked in random order; score per depth.

    The read-outs, eleven at the end of every row, stand in the order of the sequence, and the oracle returns
    one label per separator.

    Notes
    -----
    Guess (computed): the most frequent value of the pairs, 15 % (a random one of them 11 %). It supposes that
    pairs are told from accidental bigrams, which the grid would allow.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("needlebench/mkn", DEPTHS, 32, layout)

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(self.pairs, self.num_classes) / self.pairs

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        labels = []
        for ids in input_ids:
            starts = np.flatnonzero(is_answer(ids[1:], self.layout))
            value = dict(zip(ids[starts].tolist(), ids[starts + 1].tolist(), strict=True))
            asked = ids[np.flatnonzero(ids == SEP) - 1]
            labels.append([value.get(name, ANSWER_START) - ANSWER_START for name in asked.tolist()])
        return pad_columns(labels, IGNORE)
