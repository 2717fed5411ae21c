"""code_completion: complete a call with the arguments of the function's definition.

After the code tasks of LongBench (arXiv 2308.14508).
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch, pad_columns
from synapnet_edge.tasks.blocks import Planted, distinct_integers, ready_after, sample_starts, spread_blocks
from synapnet_edge.tasks.guarded import GuardedTask
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, Layout
from synapnet_edge.tasks.longbench.tail import BLOCK, find_ordinals, join_readouts, write_ordinals
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.haystack import background

FUNCTIONS = 32
GROUP = 4  # functions that share their first arguments
ARGUMENTS = 5
SHARED = 2
ASKED = ARGUMENTS - SHARED
PREFIX = 2 + SHARED  # CALL f a1 a2
CALL = PREFIX + ASKED * BLOCK
TAIL = 16


class CodeCompletion(GuardedTask):
    """Give the arguments three to five of a function whose call has begun.

    Row: BOS, background with 32 lines `DEF f a1 a2 a3 a4 a5`, a tail of 16 tokens: three background ids,
    `CALL f a1 a2` and `QUERY ORD_i SEP` for the arguments 3 to 5, a read-out each. Functions are distinct
    names; in groups of four they share a1 and a2, which no other group has; the other arguments are
    independent. Training rows may hold more calls, of functions that are defined before them, with three
    read-outs each.

    Scores: accuracy over the three read-outs, exact match of all three, and edit similarity.

    Raises
    ------
    ValueError
        If the layout has too few names, ordinals or classes.

    Notes
    -----
    Guess (computed): the most frequent asked argument of the right function, its place ignored, 35 %. (What
    follows a1 a2 anywhere, 26 %.)
    """

    suite = "longbench"
    needle_width = 2 + ARGUMENTS
    metrics = ("accuracy", "exact_match", "edit_similarity")

    def __init__(self, layout: Layout = LAYOUT) -> None:
        for needed, found, what in (
            (FUNCTIONS, layout.names, "names"),
            (ARGUMENTS + 1, layout.ordinals, "ordinals"),
            (FUNCTIONS // GROUP, layout.num_classes, "classes"),
        ):
            if needed > found:
                raise ValueError(
                    f"longbench/code_completion needs {needed} {what}, only {found} are available"
                )
        super().__init__("longbench/code_completion", 1 + FUNCTIONS * self.needle_width + TAIL, layout)

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(ASKED, self.num_classes) / ASKED

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        """Labels [B, Q] of all questions in the order of the sequence, -100 where a row has fewer."""
        labels = []
        for ids in input_ids:
            defined = np.flatnonzero(ids == self.layout.marker("DEF"))
            line = dict(zip(ids[defined + 1].tolist(), defined.tolist(), strict=True))
            calls = np.flatnonzero(ids == self.layout.marker("CALL"))
            places = find_ordinals(ids)
            function = ids[calls[np.searchsorted(calls, places) - 1] + 1]
            argument = ids[places] - self.layout.ordinal_start
            found = [line[name] + 1 + offset for name, offset in zip(function, argument, strict=True)]
            labels.append((ids[found] - ANSWER_START).tolist())
        return pad_columns(labels, IGNORE)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout = self.layout
        ids = background(rng, batch, length, layout)
        ids[:, -TAIL:] = rng.integers(layout.background_start, layout.vocab_size, (batch, TAIL))
        ids[:, 0] = BOS
        starts = sample_starts(rng, batch, FUNCTIONS, 1, length - TAIL, self.needle_width)
        lines = self._define(rng, batch)
        np.put_along_axis(ids, starts, layout.marker("DEF"), 1)
        places = (starts + 1)[:, :, None] + np.arange(1 + ARGUMENTS)
        np.put_along_axis(ids, places.reshape(batch, -1), lines.reshape(batch, -1), 1)
        planted = Planted(starts, self.needle_width, ready_after(1, batch, FUNCTIONS))
        more = max(readouts // ASKED - 1, 0)
        calls, seen = spread_blocks(rng, planted, length, length - TAIL, CALL, more)
        asked = (rng.random(calls.shape) * seen).astype(np.int64)
        last = rng.integers(0, FUNCTIONS, (batch, 1))
        rows = np.arange(batch)[:, None]
        row, column = np.nonzero(calls >= 0)
        self._write_calls(ids, row, calls[row, column], lines[row, asked[row, column]])
        self._write_calls(ids, rows[:, 0], np.full(batch, length - CALL), lines[rows, last][:, 0])
        at = PREFIX + BLOCK * np.arange(1, ASKED + 1) - 1
        labels = lines[:, :, -ASKED:] - ANSWER_START
        result = join_readouts(
            ids,
            np.where(calls[:, :, None] >= 0, calls[:, :, None] + at, -1).reshape(batch, -1),
            labels[rows, asked].reshape(batch, -1),
            np.broadcast_to(length - CALL + at, (batch, ASKED)),
            labels[rows, last][:, 0],
        )
        target = np.take_along_axis(starts, last, 1)
        result.meta = {"needle_pos": starts, "target_needle": target, "depth": target[:, 0] / length}
        return result

    def _define(self, rng: np.random.Generator, batch: int) -> np.ndarray:
        """Tokens f a1 .. a5 of the lines [B, FUNCTIONS, 1 + ARGUMENTS], in the order of the sequence."""
        names = self.layout.name_start + distinct_integers(rng, batch, FUNCTIONS, self.layout.names)
        order = np.broadcast_to(np.arange(FUNCTIONS) // GROUP, (batch, FUNCTIONS))
        groups = rng.permuted(order, axis=1)
        arguments = rng.integers(0, self.num_classes, (batch, FUNCTIONS, ARGUMENTS))
        shared = rng.integers(0, self.num_classes, (batch, FUNCTIONS // GROUP, SHARED))
        shared[:, :, 0] = distinct_integers(rng, batch, FUNCTIONS // GROUP, self.num_classes)
        arguments[:, :, :SHARED] = np.take_along_axis(shared, groups[:, :, None], 1)
        return np.concatenate([names[:, :, None], ANSWER_START + arguments], axis=2)

    def _write_calls(self, ids: np.ndarray, rows: np.ndarray, starts: np.ndarray, lines: np.ndarray) -> None:
        """Write a call with its questions at every start; rows and starts [N], lines [N, 1 + ARGUMENTS]."""
        ids[rows, starts] = self.layout.marker("CALL")
        for offset in range(1 + SHARED):
            ids[rows, starts + 1 + offset] = lines[:, offset]
        for index in range(ASKED):
            ordinal = np.full(len(rows), SHARED + 1 + index)
            write_ordinals(ids, rows, starts + PREFIX + BLOCK * index, ordinal, self.layout)
