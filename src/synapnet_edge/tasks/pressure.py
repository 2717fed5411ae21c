"""Memory pressure: more pairs than a small memory keeps, some of them announced as likely to be asked.

A cue stands before a quarter of the pairs, and the asked pair has one in four of five rows. What a policy can
keep is then known in advance, whether it sees the cue or not: above that, it must have seen the question.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synapnet_edge.tasks.blocks import distinct_integers, ready_after, sample_starts
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.needlebench.records import Drawn, RecordTask, at, pick
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.haystack import TAIL, is_answer, redraw_accidental_records

PAIRS = 64
CUED = 16
P_CUED = 0.8
ZONE = 0.4  # share of the row that holds the asked half of the pairs in `early` and `late`
WINDOW = 3
VARIANTS = ("cued", "early", "late", "uncued")


class RetentionBounds(NamedTuple):
    """Probability that the asked pair is kept by a policy blind to cues and by the best that sees them."""

    blind: float
    cue_aware: float


def retention_bounds(
    kept: int, pairs: int = PAIRS, cued: int = CUED, p_cued: float = P_CUED
) -> RetentionBounds:
    """Bounds on retention with `kept` of `pairs` pairs in memory.

    Parameters
    ----------
    kept : int
        Pairs that fit.
    pairs, cued : int
        Pairs of a row, and how many of them have a cue.
    p_cued : float
        Probability that the asked pair has one.

    Raises
    ------
    ValueError
        For numbers that are out of range.

    Notes
    -----
    The best policy keeps pairs of the kind that is asked more often per pair, and then of the other.
    """
    if not 0 <= kept <= pairs or not 0 <= cued < pairs or not 0 <= p_cued <= 1:
        raise ValueError(
            f"expected 0 <= kept <= pairs, 0 <= cued < pairs and 0 <= p_cued <= 1, "
            f"got kept={kept}, pairs={pairs}, cued={cued}, p_cued={p_cued}"
        )
    blind = kept / pairs
    if cued == 0:
        return RetentionBounds(blind, blind)
    groups = sorted([(p_cued / cued, cued), ((1 - p_cued) / (pairs - cued), pairs - cued)], reverse=True)
    (best, size), (rest, _) = groups
    return RetentionBounds(blind, best * min(kept, size) + rest * max(0, kept - size))


class MemoryPressure(RecordTask):
    """64 `name value` pairs in background, each written once; the value of one name is asked.

    A window of three tokens holds a pair and, before it, CUE or a token of background. Position, order and
    cue are independent. Training blocks follow the same rule among the pairs before them.

    Parameters
    ----------
    variant : {"cued", "early", "late", "uncued"}
        cued: 16 pairs have a cue, the asked one with probability 0.8. early, late: the same, with the asked
        pair and as many others as stand elsewhere, half of either kind, in the first or last 40 % of the row;
        that half alone is asked at the end. uncued: no cues, any pair is asked.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        For an unknown variant, or if the layout has too few names.

    Notes
    -----
    Guess (computed): the most frequent value of the pairs that have a cue, 10 % (uncued: of all pairs, 6 %);
    early and late: of those in the right half, 14 %.
    """

    suite = "pressure"
    needle_width = 2
    lead = 1

    def __init__(self, variant: str = "cued", layout: Layout = LAYOUT) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant: expected one of {', '.join(VARIANTS)}, got {variant!r}")
        self.variant = variant
        self.cued = 0 if variant == "uncued" else CUED
        self.halves = variant in ("early", "late")
        super().__init__(f"pressure/{variant}", PAIRS, WINDOW, PAIRS, layout)
        if self.halves:
            while int(ZONE * (self.min_length - TAIL - 1)) < WINDOW * PAIRS // 2:
                self.min_length += 1

    def guess(self, length: int) -> float:
        share = 2 if self.halves else 1
        pairs, cued = PAIRS // share, self.cued // share
        if not cued:
            return expected_top_multiplicity(pairs, self.num_classes) / pairs
        hit = expected_top_multiplicity(cued, self.num_classes) / cued
        return P_CUED * hit + (1 - P_CUED) / self.num_classes

    def retention_bounds(self, kept: int) -> RetentionBounds:
        """`retention_bounds` of this variant.

        In early and late they hold for policies that do not prefer a part of the row: dropping the oldest
        pairs first lies below them in the one and above them in the other.
        """
        return retention_bounds(kept, PAIRS, self.cued, P_CUED)

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        hit = (input_ids[:, :-1] == input_ids[:, -2:-1]) & is_answer(input_ids[:, 1:], self.layout)
        value = at(input_ids[:, 1:], hit.argmax(1)[:, None])[:, 0]
        return np.where(hit.any(1), value - ANSWER_START, 0)

    def _place(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        if not self.halves:
            return super()._place(rng, batch, length)
        stop = length - TAIL
        zone = int(ZONE * (stop - 1))
        edge = 1 + zone if self.variant == "early" else stop - zone
        parts = [
            sample_starts(rng, batch, PAIRS // 2, low, high, WINDOW)
            for low, high in ((1, edge), (edge, stop))
        ]
        return np.concatenate(parts, axis=1)

    def _draw(self, rng: np.random.Generator, batch: int) -> Drawn:
        layout = self.layout
        share = 2 if self.halves else 1
        flags = np.arange(PAIRS // share) < self.cued // share
        cue = rng.permuted(np.broadcast_to(flags, (batch * share, len(flags))), axis=1).reshape(batch, PAIRS)
        names = layout.name_start + distinct_integers(rng, batch, PAIRS, layout.names)
        values = rng.integers(0, self.num_classes, (batch, PAIRS))
        lead = np.where(cue, layout.marker("CUE"), -1)
        facts = {"names": names, "candidates": values, "cue": cue}
        tokens = np.stack([lead, names, ANSWER_START + values], axis=2)
        return Drawn(tokens, ready_after(1, batch, PAIRS), facts)

    def _clean(self, rng: np.random.Generator, ids: np.ndarray, starts: np.ndarray, drawn: Drawn) -> None:
        redraw_accidental_records(rng, ids, starts + self.lead, drawn.facts["names"], self.layout)

    def _ask(self, rng: np.random.Generator, drawn: Drawn, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cue = drawn.facts["cue"]
        places = (~cue).argsort(1, kind="stable")  # pairs with a cue first, in the order of the sequence
        before = np.concatenate([np.zeros((len(cue), 1), dtype=np.int64), np.cumsum(cue, axis=1)], axis=1)
        cued = at(before, seen)
        plain = seen - cued
        wanted = (plain == 0) | ((cued > 0) & (rng.random(seen.shape) < P_CUED))
        count = np.where(wanted, cued, plain)
        chosen = np.where(wanted, 0, self.cued) + (rng.random(seen.shape) * count).astype(np.int64)
        asked = at(places, chosen)
        return at(drawn.facts["names"], asked), at(drawn.facts["candidates"], asked)

    def _final(self, rng: np.random.Generator, drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cue = drawn.facts["cue"]
        wanted = (rng.random((len(cue), 1)) < P_CUED) & (self.cued > 0)
        mask = cue == wanted
        if self.halves:
            first = np.arange(PAIRS) < PAIRS // 2
            mask &= first if self.variant == "early" else ~first
        asked = pick(rng, mask)
        return at(drawn.facts["names"], asked)[:, 0], at(drawn.facts["candidates"], asked)[:, 0], asked
