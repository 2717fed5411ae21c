"""single_doc_qa: one document in sections, facts about entities spread over them.

After the single-document question answering of LongBench (arXiv 2308.14508), with the facts of `ruler/qa_1`.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.blocks import (
    Planted,
    ready_after,
    sample_starts,
    spread_blocks,
    with_readouts,
    write_blocks,
)
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.ruler.haystack import TAIL, framed_background
from synapnet_edge.tasks.ruler.qa import ENTITIES, RECORD, RELATIONS, Knowledge, Qa1

SECTIONS = RELATIONS  # an entity has one fact in each


class SingleDocQa(Qa1):
    """Eight entities with the same four relations, every section one fact of each; a fact's value is asked.

    Row: BOS, background, `DOC SECTION` and two tokens of background, eight facts, three more sections that
    begin with `SECTION` and three tokens of background, the tail. Which relation of an entity stands in which
    section and the order inside a section are random.

    Guess (computed): the most frequent value of the right entity, 27 %; as in qa_1 a random one of its values
    gives 26 %, one of the right relation 14 %, any fact 5 %.
    """

    suite = "longbench"

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__(layout, "longbench/single_doc_qa")

    def _know(self, rng: np.random.Generator, batch: int) -> Knowledge:
        """Facts in the order of the sequence; question k asks fact k."""
        names = self._draw_names(rng, batch, ENTITIES)
        relations = self._draw_relations(rng, batch, RELATIONS)
        entity = rng.permuted(np.broadcast_to(np.arange(ENTITIES), (batch, SECTIONS, ENTITIES)), axis=2)
        section_of = rng.permuted(np.broadcast_to(np.arange(RELATIONS), (batch, ENTITIES, SECTIONS)), axis=2)
        relation = np.take_along_axis(section_of.transpose(0, 2, 1), entity, 2)
        entity, relation = entity.reshape(batch, -1), relation.reshape(batch, -1)
        labels = rng.integers(0, self.num_classes, (batch, self.facts))
        keys = np.take_along_axis(names, entity, 1), np.take_along_axis(relations, relation, 1)
        facts = np.stack([*keys, ANSWER_START + labels], axis=2)
        return Knowledge(facts, facts[:, :, :2], labels, np.arange(self.facts)[:, None])

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        know = self._know(rng, batch)
        ids = framed_background(rng, batch, length, self.block, self.layout)
        windows = sample_starts(rng, batch, self.facts + SECTIONS, 1, length - TAIL, RECORD)
        each = 1 + self.facts // SECTIONS
        headers = windows[:, ::each]
        starts = np.delete(windows, np.s_[::each], axis=1)
        self._write_records(ids, headers, starts, know.facts)
        planted = Planted(windows, RECORD, ready_after(2, batch, windows.shape[1]))
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, self.block, readouts - 1)
        complete = seen - -(-seen // each)  # facts: windows without the headers
        asked = (rng.random(blocks.shape) * complete).astype(np.int64)
        last = rng.integers(0, self.facts, (batch, 1))
        write_blocks(ids, blocks, self.block, np.take_along_axis(know.questions, asked[:, :, None], 1))
        ids[:, -self.block + 1 : -1] = np.take_along_axis(know.questions, last[:, :, None], 1)[:, 0]
        labels = know.labels
        result = with_readouts(
            ids,
            blocks,
            self.block,
            np.take_along_axis(labels, asked, 1),
            np.take_along_axis(labels, last, 1)[:, 0],
        )
        target = np.take_along_axis(starts, last, 1)
        result.meta = {
            "needle_pos": starts,
            "target_needle": target,
            "depth": target[:, 0] / length,
            "section_pos": headers,
        }
        return result

    def _write_records(
        self, ids: np.ndarray, headers: np.ndarray, starts: np.ndarray, facts: np.ndarray
    ) -> None:
        super()._write_records(ids, headers, starts, facts)
        section = self.layout.marker("SECTION")
        np.put_along_axis(ids, headers[:, :1] + 1, section, 1)
        np.put_along_axis(ids, headers[:, 1:], section, 1)
