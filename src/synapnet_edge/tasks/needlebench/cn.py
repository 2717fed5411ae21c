"""cn: how many of an item's records are marked.

After the counting task of NeedleBench 2 (arXiv 2407.11963), with as many unmarked records as it takes to make
all occurrences of an item equally frequent.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.blocks import distinct_integers
from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.needlebench.records import Drawn, RecordTask, at, pick
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity

ITEMS = 4
EACH = 16
RECORD = 2


class CountNeedles(RecordTask):
    """Four items with c = 1..16 records `MARK item` and 16 - c records `DRAFT item`; the label is c.

    Every c is uniform and independent of the others; all 64 records stand in random order. Training blocks
    ask any item with at least one mark so far, for its marks so far. Score: accuracy and mean absolute error.

    Notes
    -----
    Chance: 1/16. Guess (computed): the count that most items have, 34 %, which needs exact counts but not the
    question. The best rule on the number of all marks is right in 11 % (`total_shortcut`); an item's
    occurrences say nothing.
    """

    needle_width = RECORD
    metrics = ("accuracy", "absolute_error")

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("needlebench/cn", ITEMS * EACH, RECORD, ITEMS, layout)

    def chance(self, length: int) -> float:
        return 1 / EACH

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(ITEMS, EACH) / ITEMS

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        marked = input_ids[:, :-1] == self.layout.marker("MARK")
        return (marked & (input_ids[:, 1:] == input_ids[:, -2:-1])).sum(1)

    def _draw(self, rng: np.random.Generator, batch: int) -> Drawn:
        layout = self.layout
        counts = rng.integers(1, EACH + 1, (batch, ITEMS))
        owner, place = np.divmod(np.arange(ITEMS * EACH), EACH)
        owners, marked = np.divmod(rng.permuted(2 * owner + (place < counts[:, owner]), axis=1), 2)
        items = layout.name_start + distinct_integers(rng, batch, ITEMS, layout.names)
        markers = np.where(marked, layout.marker("MARK"), layout.marker("DRAFT"))
        so_far = np.zeros((batch, self.records + 1, ITEMS), dtype=np.int64)
        votes = (owners[:, :, None] == np.arange(ITEMS)) & (marked[:, :, None] == 1)
        np.cumsum(votes, axis=1, out=so_far[:, 1:])
        facts = {"items": items, "owners": owners, "marked": marked, "so_far": so_far, "candidates": counts}
        return Drawn(np.stack([markers, at(items, owners)], axis=2), so_far.any(2), facts)

    def _ask(self, rng: np.random.Generator, drawn: Drawn, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = np.take_along_axis(drawn.facts["so_far"], seen[:, :, None], 1)  # [B, Q, items]
        asked = np.where(count > 0, 1 - rng.random(count.shape), 0).argmax(2)
        label = np.take_along_axis(count, asked[:, :, None], 2)[:, :, 0]
        return at(drawn.facts["items"], asked), label

    def _final(self, rng: np.random.Generator, drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        facts = drawn.facts
        asked = pick(rng, np.ones_like(facts["items"], dtype=bool))
        own = (facts["owners"] == asked) & (facts["marked"] == 1)
        places = np.where(own, np.arange(self.records), self.records)
        holds = np.sort(places, axis=1)[:, :EACH]
        holds[holds == self.records] = -1
        return at(facts["items"], asked)[:, 0], at(facts["candidates"], asked)[:, 0], holds


def total_shortcut() -> float:
    """Accuracy of the best rule that sees only the number of all marks."""
    one = np.full(EACH, 1 / EACH)
    others = one
    for _ in range(ITEMS - 2):
        others = np.convolve(others, one)
    joint = np.zeros((EACH, EACH + len(others)))
    for count in range(EACH):
        joint[count, count : count + len(others)] = others / EACH
    return float(joint.max(0).sum())
