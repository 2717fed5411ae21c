"""few_shot_icl: learn from examples what each group of names is called in this sequence.

After the few-shot tasks of LongBench (arXiv 2308.14508).
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
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
from synapnet_edge.tasks.ruler.haystack import TAIL, framed_background

RECORD = 3
BLOCK = 3
GROUPS = 16
SHOTS = 3  # examples that every group has at least
EXAMPLES = 64


class FewShotIcl(GuardedTask):
    """Label a name by the examples of its group.

    Names belong to 16 fixed groups: group = (id - first name) mod 16. Every sequence gives the groups 16
    different labels and holds 64 records `EXAMPLE name label` of distinct names, three of each group and 16
    of random groups, in random order. The asked name is a member that occurs nowhere else in the row, so that
    its label cannot be copied from its own example. Training blocks ask, with other such members, groups that
    an example before them shows.

    Raises
    ------
    ValueError
        If the layout has too few names in a group or fewer classes than groups.

    Notes
    -----
    Guess (computed): any label of an example, 6.3 %; the label frequencies say nothing, as the asked group is
    drawn independently of them.
    """

    suite = "longbench"
    needle_width = RECORD

    def __init__(self, layout: Layout = LAYOUT) -> None:
        self.most = SHOTS + EXAMPLES - SHOTS * GROUPS
        self.members = layout.names // GROUPS
        for needed, found, what in (
            (GROUPS * (self.most + 2), layout.names, "names"),
            (GROUPS, layout.num_classes, "classes"),
        ):
            if needed > found:
                raise ValueError(f"longbench/few_shot_icl needs {needed} {what}, only {found} are available")
        super().__init__("longbench/few_shot_icl", 1 + RECORD * EXAMPLES + TAIL, layout)

    def guess(self, length: int) -> float:
        return 1 / GROUPS

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        asked = self._group(input_ids[:, -2])
        hit = input_ids[:, : -RECORD + 1] == self.layout.marker("EXAMPLE")
        hit &= self._group(input_ids[:, 1 : -RECORD + 2]) == asked[:, None]
        value = np.take_along_axis(input_ids, hit.argmax(1)[:, None] + 2, 1)[:, 0]
        return np.where(hit.any(1), value - ANSWER_START, 0)

    def _group(self, names: np.ndarray) -> np.ndarray:
        return (names - self.layout.name_start) % GROUPS

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        layout = self.layout
        ids = framed_background(rng, batch, length, BLOCK, layout)
        starts = sample_starts(rng, batch, EXAMPLES, 1, length - TAIL, RECORD)
        groups = np.concatenate(
            [
                np.broadcast_to(np.repeat(np.arange(GROUPS), SHOTS), (batch, SHOTS * GROUPS)),
                rng.integers(0, GROUPS, (batch, EXAMPLES - SHOTS * GROUPS)),
            ],
            axis=1,
        )
        groups = rng.permuted(groups, axis=1)
        members = distinct_integers(rng, batch * GROUPS, self.members, self.members)
        members = members.reshape(batch, GROUPS, self.members)
        labels = np.take_along_axis(distinct_integers(rng, batch, GROUPS, self.num_classes), groups, 1)
        rows = np.arange(batch)[:, None]
        # The k-th example of a group is its k-th member; questions take members behind the examples'.
        same = groups[:, :, None] == groups[:, None, :]
        rank = np.tril(same, -1).sum(2)
        names = layout.name_start + GROUPS * members[rows, groups, rank] + groups
        np.put_along_axis(ids, starts, layout.marker("EXAMPLE"), 1)
        np.put_along_axis(ids, starts + 1, names, 1)
        np.put_along_axis(ids, starts + 2, ANSWER_START + labels, 1)
        planted = Planted(starts, RECORD, ready_after(1, batch, EXAMPLES))
        blocks, seen = spread_blocks(rng, planted, length, length - TAIL, BLOCK, readouts - 1)
        asked = (rng.random(blocks.shape) * seen).astype(np.int64)
        group = np.take_along_axis(groups, asked, 1)
        fresh = rng.integers(self.most, self.members - 1, blocks.shape)
        write_blocks(ids, blocks, BLOCK, layout.name_start + GROUPS * members[rows, group, fresh] + group)
        last_group = rng.integers(0, GROUPS, (batch, 1))
        last = layout.name_start + GROUPS * members[rows, last_group, self.members - 1] + last_group
        self._remove(rng, ids, last)
        ids[:, -2] = last[:, 0]
        own = groups == last_group
        result = with_readouts(
            ids,
            blocks,
            BLOCK,
            np.take_along_axis(labels, asked, 1),
            np.take_along_axis(labels, own.argmax(1)[:, None], 1)[:, 0],
        )
        target = np.sort(np.where(own, starts, length), axis=1)[:, : self.most]
        result.meta = {
            "needle_pos": starts,
            "target_needle": np.where(target < length, target, -1),
            "depth": target[:, 0] / length,
        }
        return result

    def _remove(self, rng: np.random.Generator, ids: np.ndarray, name: np.ndarray) -> None:
        """Replace `name` [B, 1] by other names wherever it stands, in place."""
        row, place = np.nonzero(ids == name)
        shift = rng.integers(1, self.layout.names, len(row))
        first = self.layout.name_start
        ids[row, place] = first + (ids[row, place] - first + shift) % self.layout.names
