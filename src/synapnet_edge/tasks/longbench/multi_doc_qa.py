"""multi_doc_qa: questions of two and three hops over facts in several documents.

After the multi-document question answering of LongBench (arXiv 2308.14508), with the facts of `ruler/qa_2`
and one more level of links.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, QUERY, Layout
from synapnet_edge.tasks.ruler.qa import ENTITIES, LINKS, RELATIONS, FactTask, Knowledge

ARGUMENTS = 4
STRIDE = 3  # of the second links, so that the four paths from an entity end in four places


class MultiDocQa(FactTask):
    """Follow one or two links from an entity, then read a value; half of the questions each.

    Three levels of eight entities. `FACT e1 r1 e2` and `FACT e2 r2 e3` use the same two link relations; each
    of them leads from the entities of a level to all of the next, the two links of an entity lead to
    different ones, and so do the four paths of two links. `FACT e3 r3 value` exists for four more relations.
    The 64 facts are shuffled over four documents. Questions are `QUERY e1 r1 r2 r3 SEP` and, after one more
    token of background, `QUERY e2 r2 r3 SEP`; `meta["hops"]` tells them apart.

    Guess (computed): one link at random, all else right: 51 % for both. (Right last entity, relation ignored:
    26 %; right last relation of a random entity: 14 %.)
    """

    suite = "longbench"

    def __init__(self, layout: Layout = LAYOUT) -> None:
        self.level = ENTITIES * LINKS
        facts = 2 * self.level + ENTITIES * RELATIONS
        super().__init__("longbench/multi_doc_qa", facts, ARGUMENTS, 3 * ENTITIES, LINKS + RELATIONS, layout)

    def guess(self, length: int) -> float:
        return self._or_random(1 / LINKS)

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        three = input_ids[:, -6] == QUERY
        second = self._find(input_ids, input_ids[:, -5], input_ids[:, -4])
        entity = np.where(three, second, input_ids[:, -4])
        last = self._find(input_ids, entity, input_ids[:, -3])
        value = self._find(input_ids, last, input_ids[:, -2])
        return np.maximum(value - ANSWER_START, 0)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        result = super()._build(rng, batch, length, readouts)
        # A question of two hops is one token shorter: its block was written as QUERY QUERY e2 r2 r3 SEP.
        ids = result.input_ids
        row, place = np.nonzero((ids[:, :-1] == QUERY) & (ids[:, 1:] == QUERY))
        ids[row, place] = rng.integers(self.layout.background_start, self.layout.vocab_size, len(row))
        result.meta["hops"] = np.where(ids[:, -6] == QUERY, 3, 2)
        return result

    def _know(self, rng: np.random.Generator, batch: int) -> Knowledge:
        names = self._draw_names(rng, batch, 3 * ENTITIES)
        links, relations = np.split(self._draw_relations(rng, batch, LINKS + RELATIONS), [LINKS], axis=1)
        values = rng.integers(0, self.num_classes, (batch, ENTITIES * RELATIONS))
        source, link = np.divmod(np.arange(self.level), LINKS)
        owner, relation = np.divmod(np.arange(ENTITIES * RELATIONS), RELATIONS)
        # Names are drawn in random order, so neighbours on a circle are random partners.
        second, third = (source + link) % ENTITIES, (source + STRIDE * link) % ENTITIES
        facts = [
            np.stack([names[:, source], links[:, link], names[:, ENTITIES + second]], axis=2),
            np.stack([names[:, ENTITIES + source], links[:, link], names[:, 2 * ENTITIES + third]], axis=2),
            np.stack([names[:, 2 * ENTITIES + owner], relations[:, relation], ANSWER_START + values], axis=2),
        ]
        # Every question of three hops, and every question of two hops twice to make them as many.
        first, link, asked = (part.ravel() for part in np.indices((self.level, LINKS, RELATIONS)))
        hop = second[first] * LINKS + link
        value = third[hop] * RELATIONS + asked
        tail = [links[:, link], relations[:, asked]]
        short = [np.full((batch, len(hop)), QUERY), names[:, ENTITIES + source[hop]], *tail]
        long = [names[:, source[first]], links[:, first % LINKS], *tail]
        questions = np.concatenate([np.stack(short, axis=2), np.stack(long, axis=2)], axis=1)
        hop, value = self.level + hop, 2 * self.level + value
        needs = np.concatenate([np.stack([hop, hop, value], 1), np.stack([first, hop, value], 1)])
        return Knowledge(
            np.concatenate(facts, axis=1), questions, np.tile(values[:, value - 2 * self.level], 2), needs
        )
