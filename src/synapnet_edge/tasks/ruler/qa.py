"""qa_1 and qa_2: facts about entities, asked in one or two hops.

After the question answering tasks of RULER (arXiv 2404.06654), with documents of `FACT entity relation x`
records instead of text, so that every entity, relation and value occurs equally often whatever is asked.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.blocks import (
    Planted,
    distinct_integers,
    sample_starts,
    spread_blocks,
    with_readouts,
    write_blocks,
)
from synapnet_edge.tasks.guarded import GuardedTask
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.haystack import TAIL, framed_background, read_record

RECORD = 4
DOCUMENTS = 4
ENTITIES = 8
RELATIONS = 4  # of every entity with values
LINKS = 2  # of every entity that leads to others


@dataclass
class Knowledge:
    """Facts of a batch and everything that can be asked about them.

    Attributes
    ----------
    facts : [B, F, 3] int64
        Tokens behind FACT.
    questions : [B, K, A] int64
        Argument tokens of every possible question.
    labels : [B, K] int64
    needs : [K, R] int64
        The facts that a question needs, in the order of the hops.
    """

    facts: np.ndarray
    questions: np.ndarray
    labels: np.ndarray
    needs: np.ndarray


class FactTask(GuardedTask):
    """Base of the fact tasks.

    Row: BOS, background with documents (four, or as many as share the facts evenly), the tail of eight
    tokens. A document is a header (`DOC` and three tokens of background) and its share of the facts, at
    uniform places until the next header. Facts are shuffled over the documents. A block is QUERY, the
    arguments, SEP.

    Parameters
    ----------
    name : str
        Registry name.
    facts, arguments : int
        Facts in a row; arguments of a question.
    names, relations : int
        Distinct names and relations in a row.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        If the layout has too few names or relations.
    """

    needle_width = RECORD

    def __init__(
        self, name: str, facts: int, arguments: int, names: int, relations: int, layout: Layout = LAYOUT
    ) -> None:
        for needed, found, what in (
            (names, layout.names, "names"),
            (relations, layout.relations, "relations"),
        ):
            if needed > found:
                raise ValueError(f"{name} needs {needed} {what}, only {found} are available")
        self.facts = facts
        self.documents = max(count for count in range(1, DOCUMENTS + 1) if facts % count == 0)
        self.block = arguments + 2
        super().__init__(name, 1 + RECORD * (facts + self.documents) + TAIL, layout)

    @abstractmethod
    def _know(self, rng: np.random.Generator, batch: int) -> Knowledge:
        """Draw the facts of a batch."""

    def _find(self, ids: np.ndarray, entity: np.ndarray, relation: np.ndarray) -> np.ndarray:
        """Last token of the fact `entity relation x` of every row, 0 where there is none; arrays [B]."""
        token, found = read_record(ids, self.layout.marker("FACT"), [entity, relation])
        return np.where(found, token, 0)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        know = self._know(rng, batch)
        ids = framed_background(rng, batch, length, self.block, self.layout)
        windows = sample_starts(rng, batch, self.facts + self.documents, 1, length - TAIL, RECORD)
        # Slot of every fact among the windows: each document's first window is its header.
        each = self.facts // self.documents
        slots = np.arange(self.facts) + 1 + np.arange(self.facts) // each
        slots = rng.permuted(np.broadcast_to(slots, (batch, self.facts)), axis=1)
        starts = np.take_along_axis(windows, slots, 1)
        self._write_records(ids, windows[:, :: each + 1], starts, know.facts)
        known_at = slots[:, know.needs].max(2) + 1  # [B, K] windows complete before a question has its answer
        order = known_at.argsort(1, kind="stable")  # the same on every processor
        known_at = np.take_along_axis(known_at, order, 1)
        # [B, windows + 1]: questions that k complete windows answer.
        answerable = (known_at[:, None, :] <= np.arange(windows.shape[1] + 1)[:, None]).sum(2)
        planted = Planted(windows, RECORD, answerable > 0)
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, self.block, readouts - 1)
        count = np.take_along_axis(answerable, seen, 1)
        asked = np.take_along_axis(order, (rng.random(blocks.shape) * count).astype(np.int64), 1)
        last = rng.integers(0, order.shape[1], (batch, 1))
        write_blocks(ids, blocks, self.block, np.take_along_axis(know.questions, asked[:, :, None], 1))
        ids[:, -self.block + 1 : -1] = np.take_along_axis(know.questions, last[:, :, None], 1)[:, 0]
        result = with_readouts(
            ids,
            blocks,
            self.block,
            np.take_along_axis(know.labels, asked, 1),
            np.take_along_axis(know.labels, last, 1)[:, 0],
        )
        target = np.take_along_axis(starts, know.needs[last[:, 0]], 1)
        result.meta = {
            "needle_pos": np.sort(starts, axis=1),
            "target_needle": target,
            "depth": target.min(1) / length,
            "document_pos": windows[:, :: each + 1],
        }
        return result

    def _write_records(
        self, ids: np.ndarray, headers: np.ndarray, starts: np.ndarray, facts: np.ndarray
    ) -> None:
        """Write the documents' headers and the facts [B, F, 3] in place."""
        np.put_along_axis(ids, headers, self.layout.marker("DOC"), 1)
        np.put_along_axis(ids, starts, self.layout.marker("FACT"), 1)
        for offset in range(facts.shape[2]):
            np.put_along_axis(ids, starts + 1 + offset, facts[:, :, offset], 1)

    def _draw_names(self, rng: np.random.Generator, batch: int, count: int) -> np.ndarray:
        return self.layout.name_start + distinct_integers(rng, batch, count, self.layout.names)

    def _draw_relations(self, rng: np.random.Generator, batch: int, count: int) -> np.ndarray:
        return self.layout.relation_start + distinct_integers(rng, batch, count, self.layout.relations)


class Qa1(FactTask):
    """Eight entities with the same four relations and independent values; entity and relation are asked.

    Guess: the most frequent value of the right entity, 27 % (a random one of its values 26 %, of the right
    relation 14 %, of any fact 5 %).
    """

    def __init__(self, layout: Layout = LAYOUT, name: str = "ruler/qa_1") -> None:
        super().__init__(name, ENTITIES * RELATIONS, 2, ENTITIES, RELATIONS, layout)

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(RELATIONS, self.num_classes) / RELATIONS

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        value = self._find(input_ids, input_ids[:, -3], input_ids[:, -2])
        return np.maximum(value - ANSWER_START, 0)

    def _know(self, rng: np.random.Generator, batch: int) -> Knowledge:
        names = self._draw_names(rng, batch, ENTITIES)
        relations = self._draw_relations(rng, batch, RELATIONS)
        labels = rng.integers(0, self.num_classes, (batch, self.facts))
        entity, relation = np.divmod(np.arange(self.facts), RELATIONS)
        facts = np.stack([names[:, entity], relations[:, relation], ANSWER_START + labels], axis=2)
        return Knowledge(facts, facts[:, :, :2], labels, np.arange(self.facts)[:, None])


class Qa2(FactTask):
    """Two hops: `FACT e1 r1 e2`, `FACT e2 r2 value`; e1, r1 and r2 are asked.

    The entities e1 (eight; with another number the name ends in it) have the same two link relations and
    lead by each to a different one of as many entities e2; every e2 is reached once by each link relation
    and has the same four relations with values. Either link may be asked. Facts are shuffled, so that half
    of the second hops stand before their first hop.

    Guess: follow a random link of e1, then answer r2: 51 %. (Right entity e2, r2 ignored: 26 %; r2 of a
    random e2, which needs no link at all: 14 %.)
    """

    def __init__(self, entities: int = ENTITIES, layout: Layout = LAYOUT) -> None:
        self.entities = entities
        self.first = entities * LINKS
        name = "ruler/qa_2" if entities == ENTITIES else f"ruler/qa_2_{entities}"
        facts = self.first + entities * RELATIONS
        super().__init__(name, facts, 3, 2 * entities, LINKS + RELATIONS, layout)

    def guess(self, length: int) -> float:
        return self._or_random(1 / LINKS)

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        bridge = self._find(input_ids, input_ids[:, -4], input_ids[:, -3])
        value = self._find(input_ids, bridge, input_ids[:, -2])
        return np.maximum(value - ANSWER_START, 0)

    def _know(self, rng: np.random.Generator, batch: int) -> Knowledge:
        entities = self.entities
        names = self._draw_names(rng, batch, 2 * entities)
        links, relations = np.split(self._draw_relations(rng, batch, LINKS + RELATIONS), [LINKS], axis=1)
        values = rng.integers(0, self.num_classes, (batch, entities * RELATIONS))
        source, link = np.divmod(np.arange(self.first), LINKS)
        owner, relation = np.divmod(np.arange(entities * RELATIONS), RELATIONS)
        # Names are drawn in random order, so neighbours on a circle are random partners.
        bridge = (source + link) % entities
        first = np.stack([names[:, source], links[:, link], names[:, entities + bridge]], axis=2)
        second = np.stack([names[:, entities + owner], relations[:, relation], ANSWER_START + values], axis=2)
        hop, asked = np.divmod(np.arange(self.first * RELATIONS), RELATIONS)
        value = bridge[hop] * RELATIONS + asked
        questions = np.stack([names[:, source[hop]], links[:, link[hop]], relations[:, asked]], axis=2)
        needs = np.stack([hop, self.first + value], axis=1)
        return Knowledge(np.concatenate([first, second], axis=1), questions, values[:, value], needs)
