"""passage_retrieval: which numbered passage an abstract with errors belongs to.

After LongBench's task of that name (arXiv 2308.14508).
"""

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
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler.haystack import background

PASSAGES = 30
FEW_PASSAGES = 16  # in rows shorter than LONG
LONG = 1024
WORDS = 24
POOL = 200
ABSTRACT = 8
REPLACED = 2
BLOCK = ABSTRACT + 2
TAIL = 12


class PassageRetrieval(GuardedTask):
    """Give the number of the passage that shares most names with an abstract.

    Row: BOS, background with the passages, a tail of 12 tokens: two background ids, QUERY, the abstract, SEP.
    A passage is `DOC n` and 24 distinct names of the row's pool of 200; n is the answer token of its number,
    and the numbers 0, 1, .. stand in random order, so that depth does not tell them. The abstract is eight
    names in random order: six of one passage and two of the pool that are not in it; it is redrawn unless no
    other passage shares as many. 30 passages, 16 in rows of less than 1024 tokens.

    Raises
    ------
    ValueError
        If the layout has too few names or classes.

    Notes
    -----
    Guess (measured on 20000 rows): a passage with the abstract's name that fewest passages have, 31 % of 30,
    54 % of 16. (A passage with a random name of the abstract: 20 and 35 %; two random names: 47 and 60 %.)
    """

    suite = "longbench"
    needle_width = 2 + WORDS

    def __init__(self, layout: Layout = LAYOUT) -> None:
        for needed, found, what in (
            (POOL, layout.names, "names"),
            (PASSAGES, layout.num_classes, "classes"),
        ):
            if needed > found:
                raise ValueError(
                    f"longbench/passage_retrieval needs {needed} {what}, only {found} are available"
                )
        super().__init__("longbench/passage_retrieval", 1 + FEW_PASSAGES * self.needle_width + TAIL, layout)

    @staticmethod
    def passages(length: int) -> int:
        """Passages of a row of `length` tokens."""
        return PASSAGES if length >= LONG else FEW_PASSAGES

    def chance(self, length: int) -> float:
        return 1 / self.passages(length)

    def guess(self, length: int) -> float:
        return {PASSAGES: 0.313, FEW_PASSAGES: 0.536}[self.passages(length)]

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        labels = []
        for ids in input_ids:
            headers = np.flatnonzero(ids == self.layout.marker("DOC"))
            words = ids[headers[:, None] + np.arange(2, 2 + WORDS)]
            best = np.isin(words, ids[-1 - ABSTRACT : -1]).sum(1).argmax()
            labels.append(ids[headers[best] + 1] - ANSWER_START)
        return np.array(labels)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout, count = self.layout, self.passages(length)
        ids = background(rng, batch, length, layout)
        ids[:, -TAIL:] = rng.integers(layout.background_start, layout.vocab_size, (batch, TAIL))
        ids[:, 0], ids[:, -BLOCK], ids[:, -1] = BOS, QUERY, SEP
        starts = sample_starts(rng, batch, count, 1, length - TAIL, self.needle_width)
        numbers = distinct_integers(rng, batch, count, count)
        pool = layout.name_start + distinct_integers(rng, batch, POOL, layout.names)
        words = distinct_integers(rng, batch * count, WORDS, POOL).reshape(batch, count, WORDS)
        np.put_along_axis(ids, starts, layout.marker("DOC"), 1)
        np.put_along_axis(ids, starts + 1, ANSWER_START + numbers, 1)
        places = (starts + 2)[:, :, None] + np.arange(WORDS)
        names = np.take_along_axis(pool, words.reshape(batch, -1), 1)
        np.put_along_axis(ids, places.reshape(batch, -1), names, 1)
        planted = Planted(starts, self.needle_width, ready_after(1, batch, count))
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, BLOCK, readouts - 1)
        asked = (rng.random(blocks.shape) * seen).astype(np.int64)
        asked = np.concatenate([asked, rng.integers(0, count, (batch, 1))], axis=1)
        abstracts = self._abstracts(rng, words, asked)
        abstracts = np.take_along_axis(pool, abstracts.reshape(batch, -1), 1).reshape(abstracts.shape)
        write_blocks(ids, blocks, BLOCK, abstracts[:, :-1])
        ids[:, -BLOCK + 1 : -1] = abstracts[:, -1]
        labels = np.take_along_axis(numbers, asked, 1)
        result = with_readouts(ids, blocks, BLOCK, labels[:, :-1], labels[:, -1])
        target = np.take_along_axis(starts, asked[:, -1:], 1)
        result.meta = {"needle_pos": starts, "target_needle": target, "depth": target[:, 0] / length}
        return result

    def _abstracts(self, rng: np.random.Generator, words: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """Pool indices [B, Q, ABSTRACT] of an abstract of every asked passage [B, Q]; words [B, P, WORDS]."""
        inside = np.zeros((*words.shape[:2], POOL), dtype=bool)
        np.put_along_axis(inside, words, True, 2)
        abstracts = np.empty((*asked.shape, ABSTRACT), dtype=np.int64)
        row, column = (index.ravel() for index in np.indices(asked.shape))
        while len(row):
            target = asked[row, column]
            score = rng.random((len(row), POOL), dtype=np.float32)
            own = inside[row, target]
            kept = np.where(own, score, 2).argsort(1, kind="stable")[:, : ABSTRACT - REPLACED]
            other = np.where(own, 2, score).argsort(1, kind="stable")[:, :REPLACED]
            drawn = rng.permuted(np.concatenate([kept, other], axis=1), axis=1)
            abstracts[row, column] = drawn
            shared = np.take_along_axis(inside[row], drawn[:, None, :], 2).sum(2)
            tied = (shared >= ABSTRACT - REPLACED).sum(1) > 1
            row, column = row[tied], column[tied]
        return abstracts
