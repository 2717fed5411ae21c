"""Single-token keys with single-token values in a background full of decoys: base of the niah tasks."""

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
    DECOY_RATE,
    TAIL,
    framed_background,
    is_answer,
    redraw_accidental_records,
)

BLOCK = 3


class KeyedNeedles(GuardedTask):
    """Retrieve the value of one of `pairs` names.

    Row: BOS, background with the pairs at independent uniform places, then a tail of eight tokens: five
    background ids, QUERY, name, SEP. Values may repeat and label c is token 5 + c.

    Parameters
    ----------
    name : str
        Registry name.
    pairs : int
        Planted pairs.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        If the layout has fewer names than pairs.

    Notes
    -----
    Guess: a random `name answer` bigram of the context. The background holds about one accidental bigram per
    1024 tokens, so the bound falls with the length.
    """

    needle_width = 2

    def __init__(self, name: str, pairs: int, layout: Layout = LAYOUT) -> None:
        if pairs >= layout.names:
            raise ValueError(f"{pairs} pairs need more than {pairs} names, only {layout.names} are available")
        super().__init__(name, 1 + 2 * pairs + TAIL, layout)
        self.pairs = pairs

    def guess(self, length: int) -> float:
        from scipy import stats  # a second of import that training does without

        accidental = np.arange(64)
        places = max(length - TAIL - 1 - 2 * self.pairs, 0)
        weight = stats.binom.pmf(accidental, places, DECOY_RATE**-2)
        return self._or_random(float((weight / (self.pairs + accidental)).sum()))

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        asked = input_ids[:, -2]
        hit = (input_ids[:, :-1] == asked[:, None]) & is_answer(input_ids[:, 1:], self.layout)
        value = np.take_along_axis(input_ids[:, 1:], hit.argmax(1)[:, None], 1)[:, 0]
        return np.where(hit.any(1), value - ANSWER_START, 0)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout = self.layout
        ids = framed_background(rng, batch, length, BLOCK, layout)
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
