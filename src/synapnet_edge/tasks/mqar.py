"""mqar64: multi-query associative recall with answer tokens as values and scattered pairs.

After MQAR (Zoology, arXiv 2312.04927). There the pairs fill the first tokens, so that the parity of the
absolute position tells a key from a value; here they stand anywhere in the first half of the row.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch, pad_columns
from synapnet_edge.tasks.blocks import distinct_integers, sample_starts
from synapnet_edge.tasks.guarded import GuardedTask
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, Layout
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.haystack import is_answer, is_name


class Mqar64(GuardedTask):
    """Recall the value of every one of `pairs` keys at the place where the key comes a second time.

    Row: BOS, background ids, `key value` pairs at uniform places of the first half, then every key once more
    on its own, in random order, at distances from the last pair that follow a power law. Keys are distinct
    names, values may repeat; the background holds neither names nor answers.

    The read-outs are the questions themselves, [B, pairs] in the order of the sequence: nothing stands at the
    end of a row, and a row always carries all of them, whatever number of read-outs is asked for.

    Parameters
    ----------
    pairs : int
        Pairs of a row.
    power : float
        Weight of a distance d is d ** (power - 1); 0.01 is the published setting (mostly near).
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        For less than one pair, a power that is not positive, or a layout with too few names.

    Notes
    -----
    Questions between the pairs would give the task away: at such distances "the nearest value that was not an
    answer yet" is right for 79 % of them at 128 tokens and for 90 % at 1024.

    Guess: the most frequent value of the row, 17 % for 8 pairs. (Excluding the answers of earlier questions
    would give 34 %, but needs all of those to be right.)
    """

    suite = "mqar"
    haystack = None  # its rows hold no other names or answers
    needle_width = 2

    def __init__(self, pairs: int = 8, power: float = 0.01, layout: Layout = LAYOUT) -> None:
        if pairs < 1:
            raise ValueError(f"pairs: expected at least 1, got {pairs}")
        if not power > 0:
            raise ValueError(f"power: expected a positive number, got {power}")
        if pairs > layout.names:
            raise ValueError(f"{pairs} pairs need {pairs} names, only {layout.names} are available")
        self.pairs = pairs
        self.power = power
        super().__init__("mqar/mqar64" + ("" if pairs == 8 else f"_{pairs}"), 2 + 4 * pairs, layout)

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(self.pairs, self.num_classes) / self.pairs

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        """Labels [B, Q] in the order of the questions, -100 where a row has fewer than the others."""
        followed = np.zeros(input_ids.shape, dtype=bool)
        followed[:, :-1] = is_answer(input_ids[:, 1:], self.layout)
        keys = is_name(input_ids, self.layout)
        labels = []
        for ids, pair, question in zip(input_ids, keys & followed, keys & ~followed, strict=True):
            starts = np.flatnonzero(pair)
            value = dict(zip(ids[starts].tolist(), ids[starts + 1].tolist(), strict=True))
            labels.append([value[key] - ANSWER_START for key in ids[question].tolist()])
        return pad_columns(labels, IGNORE)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout = self.layout
        ids = rng.integers(layout.background_start, layout.vocab_size, (batch, length), dtype=np.int64)
        ids[:, 0] = BOS
        starts = sample_starts(rng, batch, self.pairs, 1, length // 2, 2)
        questions = self._ask(rng, starts, length)
        names = layout.name_start + distinct_integers(rng, batch, self.pairs, layout.names)
        values = rng.integers(0, self.num_classes, (batch, self.pairs))
        np.put_along_axis(ids, starts, names, 1)
        np.put_along_axis(ids, starts + 1, ANSWER_START + values, 1)
        np.put_along_axis(ids, questions, names, 1)
        order = questions.argsort(1)
        target = np.take_along_axis(starts, order, 1)
        return TaskBatch(
            ids,
            np.take_along_axis(values, order, 1),
            np.take_along_axis(questions, order, 1),
            {"needle_pos": starts, "target_needle": target, "depth": target[:, 0] / length},
        )

    def _ask(self, rng: np.random.Generator, starts: np.ndarray, length: int) -> np.ndarray:
        """Place of every pair's question [B, pairs], without replacement and in random order."""
        # Exponentials with rates w, in ascending order, are draws without replacement with weights w.
        waiting = rng.standard_exponential((len(starts), length), dtype=np.float32)
        distance = np.arange(length, dtype=np.float32) - (starts[:, -1:] + 1).astype(np.float32)
        waiting *= np.maximum(distance, 1) ** np.float32(1 - self.power)
        waiting[distance < 1] = np.inf
        places = waiting.argpartition(self.pairs, axis=1)[:, : self.pairs]
        places.sort(axis=1)  # argpartition's own order is not the same on every processor
        return rng.permuted(places, axis=1)
