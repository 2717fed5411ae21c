"""vt: variable tracking with four interleaved chains of assignments and copies.

After RULER's task of that name (arXiv 2404.06654). Its single chain makes "the only literal" the answer;
here four chains stand interleaved and only one of their ends is asked.
"""

from __future__ import annotations

from itertools import product
from math import factorial, prod

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch
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
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.ruler.haystack import TAIL, framed_background, read_record

BLOCK = 3
RECORD = 3
CHAINS = 4


class Vt(GuardedTask):
    """Follow a chain of `hops` copies from a variable to the literal it was given.

    Records are `ASSIGN x value` and `COPY y x`, every definition somewhere before its use, the order of the
    chains uniform over all interleavings. Values may repeat; all variables of a row are distinct names.
    The block at the end of a row asks the last variable of one chain. Training blocks ask, with equal
    probability, any variable defined before them, 0 to `hops` copies away from its literal.

    Parameters
    ----------
    hops : int
        Copies between the asked variable and its literal; 2 is the headline.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        For fewer than one hop, or if the layout has too few names.

    Notes
    -----
    Guess: the best rule on the order of literals and chain ends: 43 % for 1 hop, 34 % for 2, 30 % for 4 (the
    nearest earlier literal: 43, 30 and 26 %; any literal: 26 %). Following all copies but the first and then
    taking the nearest literal gives 43, 47 and 49 %.
    """

    needle_width = RECORD

    def __init__(self, hops: int = 2, layout: Layout = LAYOUT) -> None:
        if hops < 1:
            raise ValueError(f"hops: expected at least 1, got {hops}")
        self.hops = hops
        self.records = CHAINS * (hops + 1)
        if self.records > layout.names:
            raise ValueError(f"{hops} hops need {self.records} names, only {layout.names} are available")
        name = "ruler/vt" + ("" if hops == 2 else f"_{hops}")
        super().__init__(name, 1 + RECORD * self.records + TAIL, layout)

    def guess(self, length: int) -> float:
        return self._or_random(order_shortcut(self.hops))

    def with_intermediate(self, batch: TaskBatch) -> TaskBatch:
        """Every copy's last token is asked for its literal: hop h needs what hop h - 1 found."""
        starts, values = batch.meta["needle_pos"], batch.meta["candidates"]
        copy = np.take_along_axis(batch.input_ids, starts, 1) == self.layout.marker("COPY")
        places = np.where(copy, starts + RECORD - 1, batch.input_ids.shape[1] - 1)
        return TaskBatch(
            batch.input_ids,
            np.column_stack([np.where(copy, values, IGNORE), batch.targets]),
            np.column_stack([places, batch.target_pos]),
            batch.meta,
        )

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        variable = input_ids[:, -2]
        for _ in range(self.hops):
            source, copied = read_record(input_ids, self.layout.marker("COPY"), [variable])
            variable = np.where(copied, source, variable)
        value, found = read_record(input_ids, self.layout.marker("ASSIGN"), [variable])
        return np.where(found, value - ANSWER_START, 0)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout, records = self.layout, self.records
        ids = framed_background(rng, batch, length, BLOCK, layout)
        starts = sample_starts(rng, batch, records, 1, length - TAIL, RECORD)
        chains, depths = self._interleave(rng, batch)
        names = layout.name_start + distinct_integers(rng, batch, records, layout.names)
        values = np.take_along_axis(rng.integers(0, self.num_classes, (batch, CHAINS)), chains, 1)
        self._write_records(ids, starts, (chains, depths), names, values)
        planted = Planted(starts, RECORD, ready_after(1, batch, records))
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, BLOCK, readouts - 1)
        asked = (rng.random(blocks.shape) * seen).astype(np.int64)
        write_blocks(ids, blocks, BLOCK, np.take_along_axis(names, asked, 1))
        own = chains == rng.integers(0, CHAINS, (batch, 1))
        last = (own & (depths == self.hops)).argmax(1)[:, None]
        ids[:, -2] = np.take_along_axis(names, last, 1)[:, 0]
        result = with_readouts(
            ids,
            blocks,
            BLOCK,
            np.take_along_axis(values, asked, 1),
            np.take_along_axis(values, last, 1)[:, 0],
        )
        target = starts[own].reshape(batch, self.hops + 1)
        result.meta = {
            "needle_pos": starts,
            "target_needle": target,
            "depth": target[:, 0] / length,
            "candidates": values,
            "target_index": last[:, 0],
        }
        return result

    def _interleave(self, rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Chain of every record and its number of copies from the literal, both [B, records]."""
        order = np.broadcast_to(np.arange(self.records) // (self.hops + 1), (batch, self.records))
        chains = rng.permuted(order, axis=1)
        depths = np.zeros_like(chains)
        for chain in range(CHAINS):
            own = chains == chain
            depths[own] = (np.cumsum(own, axis=1) - 1)[own]
        return chains, depths

    def _write_records(
        self,
        ids: np.ndarray,
        starts: np.ndarray,
        place: tuple[np.ndarray, np.ndarray],
        names: np.ndarray,
        values: np.ndarray,
    ) -> None:
        """Write `ASSIGN name value` or `COPY name source` at every start, in place; arrays [B, records]."""
        chains, depths = place
        # Records sorted by chain and depth: the source of a copy is the entry before it.
        order = (chains * (self.hops + 1) + depths).argsort(1)
        sources = np.empty_like(names)
        np.put_along_axis(sources, order, np.roll(np.take_along_axis(names, order, 1), 1, axis=1), 1)
        literal = depths == 0
        markers = np.where(literal, self.layout.marker("ASSIGN"), self.layout.marker("COPY"))
        np.put_along_axis(ids, starts, markers, 1)
        np.put_along_axis(ids, starts + 1, names, 1)
        np.put_along_axis(ids, starts + 2, np.where(literal, ANSWER_START + values, sources), 1)


def order_shortcut(hops: int) -> float:
    """Probability to find the asked chain's literal from the order of the records alone.

    The best rule that sees how many chains end before the asked variable's record and how many literals
    stand before it; "the nearest literal" and "k-th literal for the k-th end" are two such rules. With record
    places uniform in (0, 1) a chain runs from its first order statistic a to its last b; every other chain
    is in one of five cases. The integrands are polynomials, so the quadrature is exact.
    """
    records = hops + 1
    nodes, weights = np.polynomial.legendre.leggauss(CHAINS * records)
    last, first = (nodes[:, None] + 1) / 2, (nodes[:, None] + 1) / 2 * (nodes + 1) / 2
    mass = records * hops * (last - first) ** (hops - 1) * last * weights[:, None] * weights / 4
    inside, after = (last - first) ** records, (1 - last) ** records
    begins_later = (1 - first) ** records
    earlier = last**records - inside  # begins before a, ends before b
    around = 1 - begins_later - earlier  # begins before a, ends after b
    later = begins_later - after - inside  # begins between a and b, ends after b
    cases = (earlier, around, inside, later, after)
    table = np.zeros((CHAINS, CHAINS, CHAINS))  # own rank among literals, rank among ends, literals before
    for counts in product(range(CHAINS), repeat=len(cases)):
        if sum(counts) == CHAINS - 1:
            ways = factorial(CHAINS - 1) / prod(map(factorial, counts))
            chance = prod(case**count for case, count in zip(cases, counts, strict=True))
            own, ends, literals = counts[0] + counts[1], counts[0] + counts[2], sum(counts[:4])
            table[own, ends, literals] += ways * (mass * chance).sum()
    return float(table.max(0).sum())
