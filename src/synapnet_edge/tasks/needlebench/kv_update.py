"""kv_update: names that are assigned again and again, of which the last assignment counts.

State change, declared as such: earlier values of the asked name are distractors of exactly its form.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.blocks import distinct_integers, ready_after
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.needlebench.records import Drawn, RecordTask, at, last_of
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity

NAMES = 8
UPDATES = 4
RECORD = 3


class KvUpdate(RecordTask):
    """Eight names with four records `ASSIGN x value` each, in random order; the label is the latest value.

    Training blocks ask the name of a random record before them for its latest value so far.

    Notes
    -----
    Guess (computed): the most frequent of the asked name's four values, 27 % (a random one 26 %; the last
    assignment of the row 14 %).
    """

    needle_width = RECORD

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("needlebench/kv_update", NAMES * UPDATES, RECORD, NAMES, layout)

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(UPDATES, self.num_classes) / UPDATES

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        hit = input_ids[:, :-2] == self.layout.marker("ASSIGN")
        hit &= input_ids[:, 1:-1] == input_ids[:, -2:-1]
        last = hit.shape[1] - 1 - hit[:, ::-1].argmax(1)
        return np.where(hit.any(1), input_ids[np.arange(len(hit)), last + 2] - ANSWER_START, 0)

    def _draw(self, rng: np.random.Generator, batch: int) -> Drawn:
        layout = self.layout
        order = np.broadcast_to(np.arange(self.records) // UPDATES, (batch, self.records))
        owners = rng.permuted(order, axis=1)
        names = at(layout.name_start + distinct_integers(rng, batch, NAMES, layout.names), owners)
        values = rng.integers(0, self.num_classes, owners.shape)
        assign = np.full_like(names, layout.marker("ASSIGN"))
        facts = {"names": names, "candidates": values, "owners": owners, "latest": last_of(owners, NAMES)}
        ready = ready_after(1, batch, self.records)
        return Drawn(np.stack([assign, names, ANSWER_START + values], axis=2), ready, facts)

    def _ask(self, rng: np.random.Generator, drawn: Drawn, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        facts = drawn.facts
        owner = at(facts["owners"], (rng.random(seen.shape) * seen).astype(np.int64))
        asked = np.maximum(facts["latest"][np.arange(len(seen))[:, None], seen, owner], 0)
        return at(facts["names"], asked), at(facts["candidates"], asked)

    def _final(self, rng: np.random.Generator, drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        facts = drawn.facts
        owner = rng.integers(0, NAMES, (len(facts["owners"]), 1))
        asked = at(facts["latest"][:, -1], owner)
        return at(facts["names"], asked)[:, 0], at(facts["candidates"], asked)[:, 0], asked
