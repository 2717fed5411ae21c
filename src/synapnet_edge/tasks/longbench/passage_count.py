"""passage_count: how many different passages there are among repeated ones.

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
from synapnet_edge.tasks.layout import LAYOUT, QUERY, Layout
from synapnet_edge.tasks.ruler.haystack import TAIL, framed_background

PASSAGES = 24
FEWEST, MOST = 6, 18  # different passages
WORDS = 24
POOL = 64
BLOCK = 3
TRIES = 16  # candidate sets drawn at once


class PassageCount(GuardedTask):
    """Count the different passages among 24.

    Row: BOS, background with 24 passages, the tail with the block `QUERY DOC SEP`. A passage is `DOC` and 24
    distinct names of the row's pool of 64. 6 to 18 of the passages, uniformly, are different, the others are
    exact copies of random ones, all in random order. The different passages are redrawn until they use the
    whole pool: the number of distinct names is always 64. The label is the count. Training blocks count what
    stands before them, from the sixth passage on.

    Scores: accuracy and mean absolute error.

    Raises
    ------
    ValueError
        If the layout has too few names or classes.

    Notes
    -----
    Guess (measured): a small network on the sorted counts of the names, 25 % (a linear probe 23 %), with a
    mean absolute error of 1.6; always 12 gives 3.2. Comparing passages by their first name alone, a coarse
    form of the task itself, is right for 44 %.
    """

    suite = "longbench"
    needle_width = 1 + WORDS
    metrics = ("accuracy", "absolute_error")

    def __init__(self, layout: Layout = LAYOUT) -> None:
        for needed, found, what in ((POOL, layout.names, "names"), (MOST + 1, layout.num_classes, "classes")):
            if needed > found:
                raise ValueError(f"longbench/passage_count needs {needed} {what}, only {found} are available")
        super().__init__("longbench/passage_count", 1 + PASSAGES * self.needle_width + TAIL, layout)

    def chance(self, length: int) -> float:
        return 1 / (MOST - FEWEST + 1)

    def guess(self, length: int) -> float:
        return 0.25

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        labels = []
        for ids in input_ids:
            header = ids[1:] == self.layout.marker("DOC")
            starts = 1 + np.flatnonzero(header & (ids[:-1] != QUERY))  # not those in blocks
            passages = ids[starts[:, None] + np.arange(1, 1 + WORDS)]
            labels.append(len(np.unique(passages, axis=0)))
        return np.array(labels)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout = self.layout
        ids = framed_background(rng, batch, length, BLOCK, layout)
        doc = layout.marker("DOC")
        starts = sample_starts(rng, batch, PASSAGES, 1, length - TAIL, self.needle_width)
        different = rng.integers(FEWEST, MOST + 1, (batch, 1))
        kinds = np.broadcast_to(np.arange(PASSAGES), (batch, PASSAGES))
        copies = (rng.random((batch, PASSAGES)) * different).astype(np.int64)
        kinds = rng.permuted(np.where(kinds < different, kinds, copies), axis=1)
        pool = layout.name_start + distinct_integers(rng, batch, POOL, layout.names)
        words = self._cover(rng, different[:, 0])
        words = np.take_along_axis(words, kinds[:, :, None], 1).reshape(batch, -1)
        places = (starts + 1)[:, :, None] + np.arange(WORDS)
        np.put_along_axis(ids, starts, doc, 1)
        np.put_along_axis(ids, places.reshape(batch, -1), np.take_along_axis(pool, words, 1), 1)
        new = ~np.tril(kinds[:, :, None] == kinds[:, None, :], -1).any(2)
        counts = new.cumsum(1)
        planted = Planted(starts, self.needle_width, ready_after(FEWEST, batch, PASSAGES))
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, BLOCK, readouts - 1)
        write_blocks(ids, blocks, BLOCK, np.full(blocks.shape, doc))
        ids[:, -2] = doc
        labels = np.take_along_axis(counts, np.maximum(seen - 1, 0), 1)
        result = with_readouts(ids, blocks, BLOCK, labels, different[:, 0])
        result.meta = {"needle_pos": starts, "target_needle": starts, "depth": starts[:, 0] / length}
        return result

    def _cover(self, rng: np.random.Generator, different: np.ndarray) -> np.ndarray:
        """Pool indices [B, MOST, WORDS]; the first `different` passages of a row use the whole pool."""
        words = np.empty((len(different), MOST, WORDS), dtype=np.int64)
        left = np.arange(len(different))
        while len(left):
            drawn = distinct_integers(rng, len(left) * TRIES * MOST, WORDS, POOL)
            drawn = drawn.reshape(len(left), TRIES, MOST, WORDS)
            used = np.where(
                np.arange(MOST)[:, None] < different[left, None, None, None], drawn, drawn[:, :, :1]
            )
            present = np.zeros((len(left), TRIES, POOL), dtype=bool)
            np.put_along_axis(present, used.reshape(len(left), TRIES, -1), True, 2)
            whole = present.all(2)
            words[left] = drawn[np.arange(len(left)), whole.argmax(1)]
            left = left[~whole.any(1)]
        return words
