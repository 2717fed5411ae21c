"""ron: reasoning over needles, a value and the differences to add to it.

After the multi-needle reasoning of NeedleBench (arXiv 2407.11963), with sums modulo 64 in place of text: the
answer need not occur anywhere in the row.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch
from synapnet_edge.tasks.blocks import distinct_integers, ready_after
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.needlebench.records import Drawn, RecordTask, at
from synapnet_edge.tasks.ruler.haystack import read_record
from synapnet_edge.tasks.ruler.vt import CHAINS, order_shortcut

RECORD = 4


class ReasoningOverNeedles(RecordTask):
    """Four chains of `ASSIGN x a` and `hops` times `ADD y x delta`, meaning y = (x + delta) mod 64.

    Every definition stands somewhere before its use and the chains are interleaved as in vt; delta is 1..63.
    The block at the end asks the last variable of one chain, training blocks any variable defined so far.

    Parameters
    ----------
    hops : int
        ADD records between the asked variable and its literal.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        For fewer than one hop, or if the layout has too few names.

    Notes
    -----
    Copying is worth at most 1.7 %, whatever is copied. Guess (computed): the literal by the order of records
    alone, as in vt, and the right differences added to it: 43 % for 1 hop, 34 % for 2 (for 2 it supposes that
    both differences are known). Following all links but the first and then taking the nearest literal gives
    43 and 47 %, as in vt.
    """

    needle_width = RECORD

    def __init__(self, hops: int = 1, layout: Layout = LAYOUT) -> None:
        if hops < 1:
            raise ValueError(f"hops: expected at least 1, got {hops}")
        self.hops = hops
        records = CHAINS * (hops + 1)
        super().__init__(
            "needlebench/ron" + ("" if hops == 1 else f"_{hops}"), records, RECORD, records, layout
        )

    def guess(self, length: int) -> float:
        return self._or_random(order_shortcut(self.hops))

    def with_intermediate(self, batch: TaskBatch) -> TaskBatch:
        """The last token of every ADD record is asked for the sum up to there."""
        starts, values = batch.meta["needle_pos"], batch.meta["candidates"]
        add = at(batch.input_ids, starts) == self.layout.marker("ADD")
        places = np.where(add, starts + RECORD - 1, batch.input_ids.shape[1] - 1)
        return TaskBatch(
            batch.input_ids,
            np.column_stack([np.where(add, values, IGNORE), batch.targets]),
            np.column_stack([places, batch.target_pos]),
            batch.meta,
        )

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        add, variable = self.layout.marker("ADD"), input_ids[:, -2]
        total = np.zeros(len(input_ids), dtype=np.int64)
        for _ in range(self.hops):
            source, found = read_record(input_ids, add, [variable])
            delta, _ = read_record(input_ids, add, [variable, source])
            total += np.where(found, delta - ANSWER_START, 0)
            variable = np.where(found, source, variable)
        value, found = read_record(input_ids, self.layout.marker("ASSIGN"), [variable])
        return np.where(found, (total + value - ANSWER_START) % self.num_classes, 0)

    def _draw(self, rng: np.random.Generator, batch: int) -> Drawn:
        layout, links = self.layout, self.hops + 1
        order = np.broadcast_to(np.arange(self.records) // links, (batch, self.records))
        chains = rng.permuted(order, axis=1)
        own = chains[:, :, None] == np.arange(CHAINS)
        depths = at(np.cumsum(own, axis=1).reshape(batch, -1), np.arange(self.records) * CHAINS + chains) - 1
        # Record r of chain c stands at c * links + r in the tables below.
        record = chains * links + depths
        terms = rng.integers(1, self.num_classes, (batch, CHAINS, links))
        terms[:, :, 0] = rng.integers(0, self.num_classes, (batch, CHAINS))
        sums = (np.cumsum(terms, axis=2) % self.num_classes).reshape(batch, -1)
        variables = layout.name_start + distinct_integers(rng, batch, self.records, layout.names)
        literal = depths == 0
        names, term = at(variables, record), ANSWER_START + at(terms.reshape(batch, -1), record)
        sources = at(variables, np.maximum(record - 1, 0))
        tokens = np.stack(
            [
                np.where(literal, layout.marker("ASSIGN"), layout.marker("ADD")),
                names,
                np.where(literal, term, sources),
                np.where(literal, -1, term),
            ],
            axis=2,
        )
        facts = {"names": names, "candidates": at(sums, record), "chains": chains, "depths": depths}
        return Drawn(tokens, ready_after(1, batch, self.records), facts)

    def _ask(self, rng: np.random.Generator, drawn: Drawn, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked = (rng.random(seen.shape) * seen).astype(np.int64)
        return at(drawn.facts["names"], asked), at(drawn.facts["candidates"], asked)

    def _final(self, rng: np.random.Generator, drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        facts = drawn.facts
        batch = len(facts["chains"])
        own = facts["chains"] == rng.integers(0, CHAINS, (batch, 1))
        holds = np.nonzero(own)[1].reshape(batch, self.hops + 1)
        asked = holds[:, -1:]  # definitions stand before uses
        return at(facts["names"], asked)[:, 0], at(facts["candidates"], asked)[:, 0], holds
