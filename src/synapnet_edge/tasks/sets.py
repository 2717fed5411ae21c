"""Tasks with several right answers: their rows, their base class and recall among the top answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.guarded import GuardedTask
from synapnet_edge.tasks.layout import LAYOUT, Layout


@dataclass
class SetBatch(TaskBatch):
    """Rows whose read-outs have several right answers; `targets` holds one of them, drawn uniformly.

    Attributes
    ----------
    target_set : [B, 64] bool
        Every right answer of the last read-out.
    members : int
        Right answers of an evaluation row; the score is the recall among as many top answers.
    """

    target_set: np.ndarray = field(kw_only=True)
    members: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_set.ndim != 2 or len(self.target_set) != len(self.input_ids):
            raise ValueError(
                f"expected target_set [B, classes] with B = {len(self.input_ids)}, "
                f"got {self.target_set.shape}"
            )

    def take(self, rows: np.ndarray | slice) -> SetBatch:
        """The given rows as a new batch."""
        return with_set(super().take(rows), self.target_set[rows], self.members)


class SetTask(GuardedTask):
    """A guarded task scored by recall at m; `oracle` returns the set, [B, 64] bool.

    A training block inside a row may have fewer than m right answers: those its prefix holds.

    Parameters
    ----------
    name : str
        Registry name.
    min_length : int
        Tokens the task needs.
    members : int
        m, the right answers of an evaluation row.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        Unless 1 <= m < classes.
    """

    metrics = ("recall",)

    def __init__(self, name: str, min_length: int, members: int, layout: Layout = LAYOUT) -> None:
        if not 1 <= members < layout.num_classes:
            raise ValueError(
                f"{name}: expected 1 to {layout.num_classes - 1} right answers of {layout.num_classes} "
                f"classes, got {members}"
            )
        super().__init__(name, min_length, layout)
        self.members = members

    @property
    def least_loss(self) -> float:
        return math.log(self.members) / math.log(self.num_classes)

    def chance(self, length: int) -> float:
        return self.members / self.num_classes

    def rows(self, seed: int, n: int, length: int, split: str = "test") -> SetBatch:
        self._check_request(n, length)
        parts = [self.row(seed, index, length, split) for index in range(n)]
        return SetBatch(
            np.concatenate([part.input_ids for part in parts]),
            np.concatenate([part.targets for part in parts]),
            np.concatenate([part.target_pos for part in parts]),
            {key: np.concatenate([part.meta[key] for part in parts]) for key in parts[0].meta},
            target_set=np.concatenate([part.target_set for part in parts]),
            members=self.members,
        )


def with_set(batch: TaskBatch, target_set: np.ndarray, members: int) -> SetBatch:
    """The batch with the right answers [B, 64] bool of its last read-out."""
    return SetBatch(
        batch.input_ids,
        batch.targets,
        batch.target_pos,
        batch.meta,
        target_set=target_set,
        members=members,
    )


def class_set(labels: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """[B, classes] bool: the classes among `labels` [B, N] that `chosen` [B, N] bool marks."""
    members = np.zeros((len(labels), classes), dtype=bool)
    row, column = np.nonzero(chosen)
    members[row, labels[row, column]] = True
    return members


def recall_at(scores: np.ndarray, target_set: np.ndarray) -> np.ndarray:
    """Share [B] of each row's m right answers among its m best `scores` [B, C]; ties go to the lower class.

    Raises
    ------
    ValueError
        If the shapes differ or a row has no right answer.
    """
    if scores.shape != target_set.shape:
        raise ValueError(f"expected scores of shape {target_set.shape}, got {scores.shape}")
    members = target_set.sum(1)
    if not members.all():
        raise ValueError(f"expected at least one right answer in every row, row {members.argmin()} has none")
    order = (-scores).argsort(1, kind="stable")
    found = np.take_along_axis(target_set, order, 1)
    inside = np.arange(scores.shape[1]) < members[:, None]
    return (found & inside).sum(1) / members
