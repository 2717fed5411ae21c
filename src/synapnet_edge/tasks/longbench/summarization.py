"""summarization: one topic per section of a document, all of them at the end.

After the summarisation tasks of LongBench (arXiv 2308.14508): what has to be written is not in one place but
is what a section is mostly about.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch, pad_columns
from synapnet_edge.tasks.blocks import Planted, distinct_integers, ready_after, sample_starts, spread_blocks
from synapnet_edge.tasks.guarded import GuardedTask
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, Layout
from synapnet_edge.tasks.longbench.tail import BLOCK, find_ordinals, join_readouts, write_ordinals
from synapnet_edge.tasks.ruler.haystack import background

SECTIONS = 8
CONTENT = 16
TOPIC = 4  # occurrences of the topic; every other class of a section occurs at most MINOR times
MINOR = 2
TAIL = SECTIONS * BLOCK


class Summarization(GuardedTask):
    """Name the topic of each of eight sections.

    Row: BOS, background with eight sections in order, a tail of 24 tokens: `QUERY ORD_i SEP` for the sections
    1 to 8, a read-out each. A section is `SECTION ORD_i` and 16 answer tokens: the topic four times, every
    other class at most twice. Topics are independent and may repeat. Training rows may ask earlier for any
    section that is complete; they always carry the eight read-outs at the end.

    Scores: accuracy over the eight read-outs, and ROUGE-L of the eight answers as a sequence.

    Raises
    ------
    ValueError
        If the layout has too few ordinals or classes.

    Notes
    -----
    Guess (computed): a random token of the right section, 25 %. (Most frequent class of all sections: 17 %,
    measured.) Counting to two instead of four is enough most of the time: a random class that the section
    repeats is right for 77 % (measured).
    """

    suite = "longbench"
    needle_width = 2 + CONTENT
    metrics = ("accuracy", "rouge_l")

    def __init__(self, layout: Layout = LAYOUT) -> None:
        minor = -(-(CONTENT - TOPIC) // MINOR)
        for needed, found, what in (
            (SECTIONS + 1, layout.ordinals, "ordinals"),
            (1 + minor, layout.num_classes, "classes"),
        ):
            if needed > found:
                raise ValueError(f"longbench/summarization needs {needed} {what}, only {found} are available")
        super().__init__("longbench/summarization", 1 + SECTIONS * self.needle_width + TAIL, layout)

    def guess(self, length: int) -> float:
        return TOPIC / CONTENT

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        """Labels [B, Q] of all questions in the order of the sequence, -100 where a row has fewer."""
        labels = []
        for ids in input_ids:
            headers = np.flatnonzero(ids == self.layout.marker("SECTION"))
            content = ids[headers[:, None] + np.arange(2, 2 + CONTENT)] - ANSWER_START
            topics = {
                int(ordinal): int(np.bincount(section, minlength=self.num_classes).argmax())
                for ordinal, section in zip(ids[headers + 1], content, strict=True)
            }
            labels.append([topics[int(asked)] for asked in ids[find_ordinals(ids)]])
        return pad_columns(labels, IGNORE)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        ids = background(rng, batch, length, self.layout)
        ids[:, 0] = BOS
        starts = sample_starts(rng, batch, SECTIONS, 1, length - TAIL, self.needle_width)
        topics = rng.integers(0, self.num_classes, (batch, SECTIONS))
        np.put_along_axis(ids, starts, self.layout.marker("SECTION"), 1)
        np.put_along_axis(ids, starts + 1, self.layout.ordinal_start + 1 + np.arange(SECTIONS)[None], 1)
        places = (starts + 2)[:, :, None] + np.arange(CONTENT)
        content = ANSWER_START + self._draw_content(rng, topics)
        np.put_along_axis(ids, places.reshape(batch, -1), content.reshape(batch, -1), 1)
        planted = Planted(starts, self.needle_width, ready_after(1, batch, SECTIONS))
        inner = max(readouts - SECTIONS, 0)
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, BLOCK, inner)
        asked = (rng.random(blocks.shape) * seen).astype(np.int64)
        row, column = np.nonzero(blocks >= 0)
        write_ordinals(ids, row, blocks[row, column], 1 + asked[row, column], self.layout)
        rows = np.arange(batch)[:, None]
        final = np.broadcast_to(length - TAIL + BLOCK * np.arange(SECTIONS), (batch, SECTIONS))
        write_ordinals(ids, rows, final, 1 + np.arange(SECTIONS), self.layout)
        result = join_readouts(
            ids,
            np.where(blocks >= 0, blocks + BLOCK - 1, -1),
            np.take_along_axis(topics, asked, 1),
            final + BLOCK - 1,
            topics,
        )
        result.meta = {"needle_pos": starts, "target_needle": starts, "depth": starts[:, 0] / length}
        return result

    def _draw_content(self, rng: np.random.Generator, topics: np.ndarray) -> np.ndarray:
        """Classes of the sections [B, S, CONTENT], in random order."""
        others = MINOR * (self.num_classes - 1)
        minor = distinct_integers(rng, topics.size, CONTENT - TOPIC, others) // MINOR
        topic = topics.reshape(-1, 1)
        minor += minor >= topic
        content = np.concatenate([np.repeat(topic, TOPIC, axis=1), minor], axis=1)
        return rng.permuted(content, axis=1).reshape(*topics.shape, CONTENT)
