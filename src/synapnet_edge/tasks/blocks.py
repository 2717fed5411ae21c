"""Vectorised placement of needles and of query blocks in the space they leave.

A training row holds several query blocks. One answer per thousand tokens would waste most of the pass;
a block in the middle is the same task on a prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch
from synapnet_edge.tasks.layout import QUERY, SEP


@dataclass
class Planted:
    """Needles of a batch, in the order of the sequence.

    Attributes
    ----------
    starts : [B, N] int64
        Ascending start positions; a row with fewer needles ends in -1.
    width : int
        Tokens of one needle.
    ready : [B, N + 1] bool
        Whether a block may stand where exactly k needles are complete.
    facts : dict of arrays
        What the task needs to answer (keys, values, ...), needles in the same order.
    """

    starts: np.ndarray
    width: int
    ready: np.ndarray
    facts: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def present(self) -> np.ndarray:
        """Number of needles of every row, [B]."""
        return (self.starts >= 0).sum(1)


def ready_after(count: int, batch: int, needles: int) -> np.ndarray:
    """[B, needles + 1] bool: true once `count` needles are complete."""
    return np.broadcast_to(np.arange(needles + 1) >= count, (batch, needles + 1))


def distinct_integers(rng: np.random.Generator, batch: int, count: int, high: int) -> np.ndarray:
    """[B, count] distinct integers below `high`, uniform over ordered draws, the same on every processor."""
    if count > high:
        raise ValueError(f"cannot draw {count} distinct integers, only {high} are available")
    if count == high:
        return rng.random((batch, high), dtype=np.float32).argsort(1)
    drawn = rng.random((batch, high), dtype=np.float32).argpartition(count, axis=1)[:, :count]
    # argpartition leaves the chosen in an order that is not random and depends on the processor.
    drawn.sort(axis=1)
    return rng.permuted(drawn, axis=1)


def sample_starts(
    rng: np.random.Generator, batch: int, count: int, low: int, high: int, width: int
) -> np.ndarray:
    """[B, count] ascending starts of windows of `width` tokens in [low, high) that do not overlap.

    Uniform over all such placements: drawing a subset of the shortened range and stretching it by the
    windows' extra tokens is a bijection.
    """
    space = high - low - count * (width - 1)
    if space < count:
        raise ValueError(
            f"{count} needles of {width} tokens need {count * width} tokens, "
            f"only {max(high - low, 0)} are available"
        )
    starts = np.sort(distinct_integers(rng, batch, count, space), axis=1)
    return starts + low + (width - 1) * np.arange(count)


def spread_blocks(
    rng: np.random.Generator, planted: Planted, length: int, stop: int, width: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose up to `count` block starts per row in the free space before `stop`.

    Returns
    -------
    starts : [B, count] int64
        Ascending; -1 (first) where the row had no room.
    seen : [B, count] int64
        Complete needles before each block.
    """
    batch = len(planted.starts)
    rows = np.arange(batch)
    starts = np.full((batch, count), -1, dtype=np.int64)
    if count == 0:
        return starts, np.zeros_like(starts)
    valid, complete = _valid_starts(planted, length, stop, width)
    scores = rng.random((batch, length), dtype=np.float32)
    scores[~valid] = -1.0
    for column in range(count):
        pick = scores.argmax(1)
        found = scores[rows, pick] >= 0
        if not found.any():
            break
        starts[:, column] = np.where(found, pick, -1)
        for shift in range(1 - width, width):
            scores[rows, np.clip(pick + shift, 0, length - 1)] = -1.0
    starts.sort(axis=1)
    seen = np.where(starts >= 0, np.take_along_axis(complete, np.maximum(starts, 0), 1), 0)
    return starts, seen.astype(np.int64)


def _valid_starts(planted: Planted, length: int, stop: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a block may begin [B, L] bool, and the needles complete before each position [B, L]."""
    row, column = np.nonzero(planted.starts >= 0)
    start = planted.starts[row, column]
    free = np.ones((len(planted.starts), length + width), dtype=bool)
    free[:, 0] = False
    free[:, stop:] = False
    for offset in range(planted.width):
        free[row, start + offset] = False
    valid = free[:, :length].copy()
    for offset in range(1, width):
        valid &= free[:, offset : length + offset]
    finished = np.zeros((len(free), length), dtype=np.int16)
    inside = start + planted.width < length
    np.add.at(finished, (row[inside], start[inside] + planted.width), 1)
    complete = np.cumsum(finished, axis=1, dtype=np.int16)
    valid &= np.take_along_axis(planted.ready, complete, 1)
    return valid, complete


def write_blocks(input_ids: np.ndarray, starts: np.ndarray, width: int, arguments: np.ndarray | None) -> None:
    """Write QUERY, arguments (none, [B, Q] or [B, Q, width - 2]) and SEP at every start that is not -1."""
    row, column = np.nonzero(starts >= 0)
    at = starts[row, column]
    input_ids[row, at] = QUERY
    input_ids[row, at + width - 1] = SEP
    if arguments is not None:
        tokens = arguments[row, column].reshape(len(row), width - 2)
        input_ids[row[:, None], at[:, None] + np.arange(1, width - 1)] = tokens


def with_readouts(
    input_ids: np.ndarray, starts: np.ndarray, width: int, labels: np.ndarray, final: np.ndarray
) -> TaskBatch:
    """Batch whose columns are the blocks' read-outs and, last, the one at the end of the row."""
    last = input_ids.shape[1] - 1
    present = starts >= 0
    targets = np.column_stack([np.where(present, labels, IGNORE), final])
    target_pos = np.column_stack([np.where(present, starts + width - 1, last), np.full(len(final), last)])
    return TaskBatch(input_ids, targets.astype(np.int64), target_pos.astype(np.int64))
