"""niah_multivalue and niah_multiquery: several values of one name, several names asked at once.

After RULER's tasks of those names (arXiv 2404.06654).
"""

from __future__ import annotations

from functools import lru_cache

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
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, SEP, Layout
from synapnet_edge.tasks.ruler.haystack import (
    DECOY_RATE,
    TAIL,
    background,
    framed_background,
    is_answer,
    redraw_accidental_records,
)
from synapnet_edge.tasks.ruler.records import ask, write_records
from synapnet_edge.tasks.sets import SetBatch, SetTask, class_set, with_set

BLOCK = 3
NAMES, VALUES = 5, 4  # multivalue
PAIRS, ASKED = 8, 4  # multiquery
WIDE_TAIL = 16


class NiahMultivalue(SetTask):
    """Retrieve the four values of the asked name; four other names have four each, in 20 `name value` pairs.

    Values of a name are distinct, those of different names independent, and the pairs stand in random order.

    Guess: the four values with the most pairs, recall 32 %, measured on 20000 draws of the values (four
    values of random pairs: 23 %).
    """

    needle_width = 2

    def __init__(self, layout: Layout = LAYOUT) -> None:
        if layout.names < NAMES:
            raise ValueError(f"multivalue needs {NAMES} names, only {layout.names} are available")
        super().__init__("ruler/niah_multivalue", 1 + 2 * NAMES * VALUES + TAIL, VALUES, layout)

    def guess(self, length: int) -> float:
        return shared_value_recall(self.num_classes)

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        asked = input_ids[:, -2:-1]
        hit = (input_ids[:, :-1] == asked) & is_answer(input_ids[:, 1:], self.layout)
        return class_set(input_ids[:, 1:] - ANSWER_START, hit, self.num_classes)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> SetBatch:
        ids = framed_background(rng, batch, length, BLOCK, self.layout)
        starts = sample_starts(rng, batch, NAMES * VALUES, 1, length - TAIL, 2)
        names = self.layout.name_start + distinct_integers(rng, batch, NAMES, self.layout.names)
        values = distinct_integers(rng, batch * NAMES, VALUES, self.num_classes).reshape(batch, -1)
        order = rng.permuted(np.broadcast_to(np.arange(NAMES * VALUES), starts.shape), axis=1)
        names = np.take_along_axis(names, order // VALUES, 1)
        values = np.take_along_axis(values, order, 1)
        write_records(ids, starts, np.dstack([names, ANSWER_START + values]))
        result = ask(rng, ids, (starts, 2), names[:, :, None], values, readouts)
        redraw_accidental_records(rng, ids, starts, names, self.layout)
        own = names == np.take_along_axis(names, result.meta["target_index"][:, None], 1)
        target = starts[own].reshape(batch, VALUES)
        result.meta |= {"target_needle": target, "depth": target[:, 0] / length}
        return with_set(result, class_set(values, own, self.num_classes), self.members)


class NiahMultiquery(GuardedTask):
    """Retrieve the values of four of eight names, asked one after the other at the end of the row.

    Row: BOS, background with the pairs, a tail of 16 tokens: four background ids and four blocks of QUERY,
    name, SEP. The read-outs are those four, in the order of the sequence, also in a training row with a
    smaller number of read-outs; further ones lie inside the row.

    Guess: the most frequent value behind a name, 17 % at 512 tokens, 16 % at 1024, 14 % at 4096, measured on
    20000 draws of the values (a random one 13 % at 1024).
    """

    needle_width = 2
    metrics = ("accuracy", "exact_match")

    def __init__(self, layout: Layout = LAYOUT) -> None:
        if layout.names <= PAIRS:
            raise ValueError(f"multiquery needs more than {PAIRS} names, only {layout.names} are available")
        super().__init__("ruler/niah_multiquery", 1 + 2 * PAIRS + WIDE_TAIL, layout)

    def guess(self, length: int) -> float:
        return top_bigram(max(length - WIDE_TAIL - 1 - 2 * PAIRS, 0), self.num_classes)

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        asked = input_ids[:, -BLOCK * ASKED + 1 :: BLOCK]
        return np.stack([self.look_up(input_ids, name) for name in asked.T], axis=1)

    def look_up(self, input_ids: np.ndarray, names: np.ndarray) -> np.ndarray:
        """Label [B] behind `names` [B] in `input_ids` [B, L]; 0 where there is none."""
        hit = (input_ids[:, :-1] == names[:, None]) & is_answer(input_ids[:, 1:], self.layout)
        value = np.take_along_axis(input_ids, hit.argmax(1)[:, None] + 1, 1)[:, 0]
        return np.where(hit.any(1), value - ANSWER_START, 0)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout, stop = self.layout, length - WIDE_TAIL
        ids = background(rng, batch, length, layout)
        ids[:, stop:] = rng.integers(layout.background_start, layout.vocab_size, (batch, WIDE_TAIL))
        ids[:, 0], ids[:, -1] = BOS, SEP
        starts = sample_starts(rng, batch, PAIRS, 1, stop, 2)
        names = layout.name_start + distinct_integers(rng, batch, PAIRS, layout.names)
        values = rng.integers(0, self.num_classes, (batch, PAIRS))
        write_records(ids, starts, np.dstack([names, ANSWER_START + values]))
        planted = Planted(starts, 2, ready_after(1, batch, PAIRS))
        inside, seen = spread_blocks(rng, planted, length, stop, BLOCK, max(readouts - ASKED, 0))
        asked = (rng.random(inside.shape) * seen).astype(np.int64)
        last = distinct_integers(rng, batch, ASKED, PAIRS)
        final = np.broadcast_to(length - BLOCK * np.arange(ASKED, 0, -1), last.shape)
        blocks = np.concatenate([inside, final], axis=1)
        asked = np.concatenate([asked, last], axis=1)
        write_blocks(ids, blocks, BLOCK, np.take_along_axis(names, asked, 1))
        redraw_accidental_records(rng, ids, starts, names, layout)
        labels = np.take_along_axis(values, asked, 1)
        result = with_readouts(ids, blocks[:, :-1], BLOCK, labels[:, :-1], labels[:, -1])
        target = np.take_along_axis(starts, last, 1)
        result.meta = {
            "needle_pos": starts,
            "target_needle": target,
            "depth": target[:, 0] / length,
            "candidates": values,
        }
        return result


@lru_cache(maxsize=4)
def shared_value_recall(values: int) -> float:
    """Recall of the four values that most names have, simulated; ties at random."""
    rng = np.random.default_rng(0)
    drawn = rng.random((20000, NAMES, values)).argpartition(VALUES, axis=2)[:, :, :VALUES]
    counts = np.zeros((len(drawn), values))
    np.add.at(counts, (np.arange(len(drawn))[:, None], drawn.reshape(len(drawn), -1)), 1)
    chosen = (counts + rng.random(counts.shape)).argpartition(-VALUES, axis=1)[:, -VALUES:]
    # The asked name is any of the five, so a value is right with probability count / 5.
    return float(np.take_along_axis(counts, chosen, 1).mean() / NAMES)


@lru_cache(maxsize=64)
def top_bigram(places: int, values: int) -> float:
    """Accuracy of the most frequent value of pairs and accidental bigrams in `places`, simulated."""
    rng = np.random.default_rng(0)
    bigrams = PAIRS + rng.binomial(places, DECOY_RATE**-2, 20000)
    top = rng.multinomial(bigrams, np.full(values, 1 / values)).max(1)
    return float((top / bigrams).mean())
