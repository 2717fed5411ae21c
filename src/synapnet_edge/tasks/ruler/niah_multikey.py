"""niah_multikey_1: several `name value` pairs in a background full of decoys, one name asked.

After RULER's task of that name (arXiv 2404.06654), rebuilt on tokens so that neither ids, positions, order
nor counts give the answer away.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from synapnet_edge.tasks.base import Task, TaskBatch, row_key
from synapnet_edge.tasks.blocks import (
    Planted,
    distinct_integers,
    ready_after,
    sample_starts,
    spread_blocks,
    with_readouts,
    write_blocks,
)
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler.haystack import (
    DECOY_RATE,
    background,
    is_answer,
    redraw_accidental_records,
)

TAIL = 8
BLOCK = 3


class NiahMultikey1(Task):
    """Retrieve the value of one of `pairs` names.

    Row: BOS, background with the pairs at independent uniform places, then a tail of eight tokens: five
    background ids, QUERY, name, SEP. Values may repeat and label c is token 5 + c.

    Parameters
    ----------
    pairs : int
        Planted pairs; 4 is the headline, 8 the harder variant.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        If the layout has fewer names than pairs.

    Notes
    -----
    Guess: a random `name answer` bigram of the context. The background holds about one accidental bigram per
    1024 tokens, so the bound falls with the length (22 % for 4 pairs, 13 % for 8 at 1024).
    """

    suite = "ruler"
    needle_width = 2

    def __init__(self, pairs: int = 4, layout: Layout = LAYOUT) -> None:
        if pairs < 2:
            raise ValueError(f"pairs: expected at least 2, got {pairs}")
        if pairs >= layout.names:
            raise ValueError(f"{pairs} pairs need more than {pairs} names, only {layout.names} are available")
        self.pairs = pairs
        self.layout = layout
        self.num_classes = layout.num_classes
        self.name = "ruler/niah_multikey_1" + ("" if pairs == 4 else f"_{pairs}")
        self.min_length = max(32, 1 + 2 * pairs + TAIL)

    def chance(self, length: int) -> float:
        return 1 / self.num_classes

    def guess(self, length: int) -> float:
        accidental = np.arange(64)
        places = max(length - TAIL - 1 - 2 * self.pairs, 0)
        weight = stats.binom.pmf(accidental, places, DECOY_RATE**-2)
        hit = float((weight / (self.pairs + accidental)).sum())
        return hit + (1 - hit) / self.num_classes

    def rows(self, seed: int, n: int, length: int, split: str = "test") -> TaskBatch:
        self._check_request(n, length)
        batches = [self.row(seed, index, length, split) for index in range(n)]
        return TaskBatch(
            np.concatenate([batch.input_ids for batch in batches]),
            np.concatenate([batch.targets for batch in batches]),
            np.concatenate([batch.target_pos for batch in batches]),
            {key: np.concatenate([batch.meta[key] for batch in batches]) for key in batches[0].meta},
        )

    def row(self, seed: int, index: int, length: int, split: str = "test") -> TaskBatch:
        """Row `index` alone, from its own key: any subset and order of rows gives the same bytes."""
        rng = np.random.default_rng(row_key(seed, self.name, length, index, split))
        return self._build(rng, 1, length, 1)

    def training_batch(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        self._check_request(batch, length, readouts)
        return self._build(rng, batch, length, readouts)

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        asked = input_ids[:, -2]
        hit = (input_ids[:, :-1] == asked[:, None]) & is_answer(input_ids[:, 1:], self.layout)
        value = np.take_along_axis(input_ids[:, 1:], hit.argmax(1)[:, None], 1)[:, 0]
        return np.where(hit.any(1), value - ANSWER_START, 0)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout = self.layout
        ids = background(rng, batch, length, layout)
        ids[:, -TAIL:] = rng.integers(layout.background_start, layout.vocab_size, (batch, TAIL))
        ids[:, 0], ids[:, -BLOCK], ids[:, -1] = BOS, QUERY, SEP
        starts = sample_starts(rng, batch, self.pairs, 1, length - TAIL, 2)
        names = layout.name_start + distinct_integers(rng, batch, self.pairs, layout.names)
        values = rng.integers(0, self.num_classes, (batch, self.pairs))
        np.put_along_axis(ids, starts, names, 1)
        np.put_along_axis(ids, starts + 1, ANSWER_START + values, 1)
        planted = Planted(starts, 2, ready_after(1, batch, self.pairs))
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, BLOCK, readouts - 1)
        asked = (rng.random(blocks.shape) * seen).astype(np.int64)
        write_blocks(ids, blocks, BLOCK, np.take_along_axis(names, asked, 1))
        redraw_accidental_records(rng, ids, starts, names, layout)
        last = rng.integers(0, self.pairs, (batch, 1))
        ids[:, -2] = np.take_along_axis(names, last, 1)[:, 0]
        result = with_readouts(
            ids,
            blocks,
            BLOCK,
            np.take_along_axis(values, asked, 1),
            np.take_along_axis(values, last, 1)[:, 0],
        )
        target = np.take_along_axis(starts, last, 1)
        result.meta = {
            "needle_pos": starts,
            "target_needle": target,
            "depth": target[:, 0] / length,
            "candidates": values,
            "target_index": last[:, 0],
        }
        return result
