"""Questions by ordinal: blocks `QUERY ORD_i SEP`, several of them at the end of a row."""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import IGNORE, TaskBatch
from synapnet_edge.tasks.layout import QUERY, SEP, Layout

BLOCK = 3


def write_ordinals(
    ids: np.ndarray, rows: np.ndarray, starts: np.ndarray, ordinals: np.ndarray, layout: Layout
) -> None:
    """Write `QUERY ORD_i SEP` at every start, in place; arrays of one shape."""
    ids[rows, starts] = QUERY
    ids[rows, starts + 1] = layout.ordinal_start + ordinals
    ids[rows, starts + 2] = SEP


def find_ordinals(ids: np.ndarray) -> np.ndarray:
    """Places of the ordinals of all questions of one row [L], in the order of the sequence."""
    return np.flatnonzero((ids[:-2] == QUERY) & (ids[2:] == SEP)) + 1


def join_readouts(
    ids: np.ndarray, places: np.ndarray, labels: np.ndarray, final_places: np.ndarray, final: np.ndarray
) -> TaskBatch:
    """Batch of read-outs inside the row (place -1 = missing) and of those that every row ends with."""
    present = places >= 0
    targets = np.concatenate([np.where(present, labels, IGNORE), final], axis=1)
    target_pos = np.concatenate([np.where(present, places, ids.shape[1] - 1), final_places], axis=1)
    return TaskBatch(ids, targets.astype(np.int64), target_pos.astype(np.int64))
