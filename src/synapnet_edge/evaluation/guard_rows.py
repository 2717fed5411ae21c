"""Rows of any task as the guards read them: the context without the question, the question, the answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks.base import IGNORE, Task, TaskBatch
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, PAD, QUERY
from synapnet_edge.tasks.sets import SetBatch

OPENERS = (QUERY, LAYOUT.marker("CALL"))  # tokens that a question at the end of a row begins with
BATCH_TOKENS = 2**20  # rows drawn at once for the probes
HASHED = 64  # buckets of a token of the question
BAG = 256  # buckets of names in the bag of tokens


@dataclass(frozen=True)
class GuardRows:
    """What the solvers may look at, and what they are scored against.

    Attributes
    ----------
    input_ids : [B, L], empty for rows that only train probes
    context : guards.Context
        The row without its question.
    question : [B, F] float
        One-hot features of the hashed tokens of the question.
    bag : [B, 64 + 256] int64
        Order-free features of the context.
    targets : [B, Q]
    target_set : [B, classes] bool or None
        Every right answer, for tasks that have several.
    classes : int
    """

    input_ids: np.ndarray
    context: guards.Context
    question: np.ndarray
    bag: np.ndarray
    targets: np.ndarray
    target_set: np.ndarray | None
    classes: int

    def shares(self, predictions: np.ndarray) -> np.ndarray:
        """Share [B] of every row's scored read-outs that `predictions` [B, Q] get right."""
        scored = self.targets != IGNORE
        return ((predictions == self.targets) & scored).sum(1) / np.maximum(scored.sum(1), 1)


def evaluation_rows(task: Task, seed: int, n: int, length: int) -> GuardRows:
    """The task's own evaluation rows, with everything the solvers need."""
    batch = task.rows(seed, n, length)
    return _read(task, batch, question_start(task, batch))


def probe_rows(task: Task, rng: np.random.Generator, n: int, length: int, like: GuardRows) -> GuardRows:
    """`n` training rows with the read-outs of an evaluation row, drawn in pieces to bound the memory.

    Raises
    ------
    ValueError
        If the training rows end in fewer read-outs than the evaluation rows `like`.
    """
    start = like.context.body.shape[1]
    parts = []
    piece = max(1, BATCH_TOKENS // length)
    for first in range(0, n, piece):
        batch = task.training_batch(rng, min(piece, n - first), length, 1)
        parts.append(_read(task, batch, start, keep=False))
    readouts = like.targets.shape[1]
    if min(part.targets.shape[1] for part in parts) < readouts:
        raise ValueError(
            f"task {task.name!r}: training rows have fewer than the {readouts} read-outs of rows"
        )
    return GuardRows(
        np.empty((0, length), dtype=np.int64),
        like.context,
        np.concatenate([part.question for part in parts]),
        np.concatenate([part.bag for part in parts]),
        np.concatenate([part.targets[:, -readouts:] for part in parts]),
        None,
        like.classes,
    )


def question_start(task: Task, batch: TaskBatch) -> int:
    """First token of the part at the end that may hold a question; the length of a row where there is none.

    Tasks that say how long their tail is are believed. Otherwise it begins with the first QUERY (or CALL) of
    any row: evaluation rows ask nowhere else.
    """
    length = batch.input_ids.shape[1]
    tail = getattr(task, "tail", None)
    if tail is not None:
        return length - tail
    opens = np.isin(batch.input_ids, OPENERS)
    return int(np.where(opens.any(1), opens.argmax(1), length).min())


def _read(task: Task, batch: TaskBatch, start: int, keep: bool = True) -> GuardRows:
    ids = batch.input_ids
    if start < ids.shape[1]:
        body, asked = ids[:, :start], ids[:, start:]
    else:  # the questions stand between the rest: take out the tokens at which an answer is read
        asked = np.take_along_axis(ids, batch.target_pos, 1)
        body = ids.copy()
        np.put_along_axis(body, batch.target_pos, PAD, 1)
    first = getattr(task, "value_start", ANSWER_START)  # the reference tasks split their classes
    answers = range(first, ANSWER_START + task.num_classes)
    names = range(LAYOUT.name_start, LAYOUT.name_stop)
    if first > ANSWER_START:
        names = range(ANSWER_START, first)
    return GuardRows(
        ids if keep else ids[:0],
        guards.Context(body if keep else body[:0], answers, names),
        guards.hashed_positions(asked, HASHED),
        guards.bag_of_tokens(body, BAG),
        batch.targets,
        batch.target_set if isinstance(batch, SetBatch) else None,
        task.num_classes,
    )
