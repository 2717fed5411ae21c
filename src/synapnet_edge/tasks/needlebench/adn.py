"""adn: one final record of a name among eight drafts of it.

A distraction task in the spirit of NeedleBench (arXiv 2407.11963): the distractors have the asked name and
the form of the answer, and only their marker is wrong.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.blocks import distinct_integers
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.needlebench.records import Drawn, RecordTask, at, pick
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.haystack import read_record

DRAFTED = 4
EACH = 9
OTHERS = 9
RECORD = 3


class AntiDistraction(RecordTask):
    """Four names with one `FINAL x value` and eight `DRAFT x value`, nine others with one record each.

    All records stand in random order, so that the final one is uniform among the nine of its name; the
    markers of the others are random. One of the four is asked, in training blocks one whose final record
    stands before the block.

    Notes
    -----
    With one name of nine records alone, the most frequent name would be the asked one on every row.

    Guess (computed): the most frequent final value of the names with drafts, whatever is asked, 27 % (a
    random record of the asked name 13 %, its last one 12 %, any final record 14 %).
    """

    needle_width = RECORD

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("needlebench/adn", DRAFTED * EACH + OTHERS, RECORD, DRAFTED + OTHERS, layout)

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(DRAFTED, self.num_classes) / DRAFTED

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        value, found = read_record(input_ids, self.layout.marker("FINAL"), [input_ids[:, -2]])
        return np.where(found, value - ANSWER_START, 0)

    def _draw(self, rng: np.random.Generator, batch: int) -> Drawn:
        layout = self.layout
        # Records of name i < 4 are 9 * i to 9 * i + 8, the first of them final; the rest are the others.
        records = rng.permuted(np.broadcast_to(np.arange(self.records), (batch, self.records)), axis=1)
        other = records >= DRAFTED * EACH
        owners = np.where(other, records - DRAFTED * (EACH - 1), records // EACH)
        answers = ~other & (records % EACH == 0)
        final = answers | (other & (rng.integers(0, 2, records.shape) == 1))
        chosen = layout.name_start + distinct_integers(rng, batch, DRAFTED + OTHERS, layout.names)
        names = at(chosen, owners)
        values = rng.integers(0, self.num_classes, records.shape)
        markers = np.where(final, layout.marker("FINAL"), layout.marker("DRAFT"))
        before = np.zeros((batch, self.records + 1), dtype=np.int64)
        np.cumsum(answers, axis=1, out=before[:, 1:])
        facts = {"names": names, "candidates": values, "answers": answers, "before": before}
        return Drawn(np.stack([markers, names, ANSWER_START + values], axis=2), before > 0, facts)

    def _ask(self, rng: np.random.Generator, drawn: Drawn, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        facts = drawn.facts
        places = np.nonzero(facts["answers"])[1].reshape(-1, DRAFTED)
        asked = at(places, (rng.random(seen.shape) * at(facts["before"], seen)).astype(np.int64))
        return at(facts["names"], asked), at(facts["candidates"], asked)

    def _final(self, rng: np.random.Generator, drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        asked = pick(rng, drawn.facts["answers"])
        return at(drawn.facts["names"], asked)[:, 0], at(drawn.facts["candidates"], asked)[:, 0], asked
