"""What a task is: deterministic evaluation rows, fast training batches and an exact oracle."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from synapnet_edge.tasks.layout import NUM_CLASSES

IGNORE = -100
SPLITS = {"train": 0, "validation": 1, "test": 2, "calibration": 3, "classifier": 4}


@dataclass
class TaskBatch:
    """Rows of one or several tasks.

    Attributes
    ----------
    input_ids : [B, L] int64
    targets : [B, Q] int64
        Class of every read-out; -100 where a row has fewer read-outs.
    target_pos : [B, Q] int64
        Position whose logits are read; L - 1 where the target is -100.
    meta : dict of arrays with B rows
        Evaluation rows of every task carry `needle_pos` [B, N] (start of every planted needle, -1 = none),
        `target_needle` [B, R] (the needles that hold the answer) and `depth` [B] (the first of them / L).
    """

    input_ids: np.ndarray
    targets: np.ndarray
    target_pos: np.ndarray
    meta: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.targets.shape != self.target_pos.shape or len(self.targets) != len(self.input_ids):
            raise ValueError(
                f"expected targets and target_pos [B, Q] with B = {len(self.input_ids)}, "
                f"got {self.targets.shape} and {self.target_pos.shape}"
            )

    def __len__(self) -> int:
        return len(self.input_ids)

    def take(self, rows: np.ndarray | slice) -> TaskBatch:
        """The given rows as a new batch."""
        meta = {key: value[rows] for key, value in self.meta.items()}
        return TaskBatch(self.input_ids[rows], self.targets[rows], self.target_pos[rows], meta)


class Task(ABC):
    """One benchmark task.

    Attributes
    ----------
    name : str
        Registry name, also part of every row's seed.
    version : int
        Raised whenever a score could change.
    suite : str
        The suite the task is reported in.
    min_length : int
        Shortest sequence that holds the task.
    needle_width : int
        Tokens of one planted needle (2 = key and value).
    metrics : tuple of str
        How rows are scored, names of `evaluation.scores.METRICS`; chance and guess are of the first one.
    haystack : str or None
        Background that may stand before a row without changing an answer, a name in `tasks.haystacks`; None =
        there is none, such as for counts of whatever the row holds.
    """

    name: str
    suite: str
    version: int = 1
    min_length: int = 32
    num_classes: int = NUM_CLASSES
    needle_width: int = 1
    metrics: tuple[str, ...] = ("accuracy",)
    haystack: str | None = None

    @property
    def least_loss(self) -> float:
        """Least cross entropy of a training read-out, in units of a uniform guess's."""
        return 0.0

    @abstractmethod
    def chance(self, length: int) -> float:
        """Accuracy of a uniform guess among the possible labels."""

    @abstractmethod
    def guess(self, length: int) -> float:
        """Accuracy of the best known shortcut, as documented or measured."""

    @abstractmethod
    def rows(self, seed: int, n: int, length: int, split: str = "test") -> TaskBatch:
        """`n` evaluation rows [n, length]; the same arguments give the same bytes anywhere."""

    @abstractmethod
    def training_batch(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> TaskBatch:
        """Rows with up to `readouts` query blocks each; the last column is the one at the end of the row.

        A block asks only about what stands before it, so every read-out is the task on a prefix. A task whose
        read-outs lie inside the row returns all of them, in the order of the sequence.
        """

    def with_intermediate(self, batch: TaskBatch) -> TaskBatch:
        """A training batch with read-outs of intermediate results added; by default there are none."""
        return batch

    @abstractmethod
    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        """Labels [B] found by an exact solver that reads `input_ids` [B, L] and nothing else.

        A task whose read-outs lie inside the row returns [B, Q], -100 where a row has fewer.
        """

    def check_length(self, length: int) -> None:
        """Raise ValueError, naming needed and available tokens, if the task does not fit."""
        if length < self.min_length:
            raise ValueError(
                f"task {self.name!r} needs a length of at least {self.min_length} tokens, got {length}"
            )

    def _check_request(self, count: int, length: int, readouts: int = 1) -> None:
        self.check_length(length)
        if count < 1 or readouts < 1:
            raise ValueError(
                f"task {self.name!r}: expected at least one row and one read-out, "
                f"got {count} rows and {readouts} read-outs"
            )


def split_id(split: str) -> int:
    """Number of a data split; raises ValueError with the available names."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; available: {', '.join(SPLITS)}")
    return SPLITS[split]


def row_key(seed: int, task: str, length: int, index: int, split: str) -> np.random.SeedSequence:
    """Independent stream of one row: neither splits, tasks, lengths nor rows share or shift seeds."""
    key = (split_id(split), zlib.crc32(task.encode()), length, index)
    return np.random.SeedSequence(entropy=seed, spawn_key=key)


def pad_columns(rows: list[list[int]], fill: int = -1) -> np.ndarray:
    """Ragged integer lists as one [B, longest] int64 array."""
    padded = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
