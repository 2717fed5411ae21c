"""The background haystack of the guarded tasks and its record hygiene."""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.layout import ANSWER_START, Layout

DECOY_RATE = 32  # one answer token and one name in 32 tokens, in every split and at every length


def background(rng: np.random.Generator, batch: int, length: int, layout: Layout) -> np.ndarray:
    """Independent tokens [B, L] int64: 1/32 answers, 1/32 names, the rest background ids."""
    ids = rng.integers(layout.background_start, layout.vocab_size, (batch, length), dtype=np.int64)
    kind = rng.integers(0, DECOY_RATE, (batch, length), dtype=np.uint8)
    for value, (low, high) in enumerate(
        [(ANSWER_START, layout.answer_stop), (layout.name_start, layout.name_stop)]
    ):
        decoy = kind == value
        ids[decoy] = rng.integers(low, high, int(decoy.sum()))
    return ids


def is_answer(ids: np.ndarray, layout: Layout) -> np.ndarray:
    """Where answer tokens stand, bool of the same shape."""
    return (ids >= ANSWER_START) & (ids < layout.answer_stop)


def is_name(ids: np.ndarray, layout: Layout) -> np.ndarray:
    """Where names stand, bool of the same shape."""
    return (ids >= layout.name_start) & (ids < layout.name_stop)


def redraw_accidental_records(
    rng: np.random.Generator, ids: np.ndarray, starts: np.ndarray, names: np.ndarray, layout: Layout
) -> None:
    """Replace, in place, background names that would complete a record of a planted name.

    Parameters
    ----------
    ids : [B, L]
    starts, names : [B, N]
        Start of every planted record and the name it begins with.

    Notes
    -----
    The name is redrawn among names, so that decoy rates stay what they are.
    """
    planted = np.zeros(ids.shape, dtype=bool)
    np.put_along_axis(planted, starts, True, 1)
    open_ends = np.zeros_like(planted)
    open_ends[:, :-1] = is_answer(ids[:, 1:], layout)
    open_ends &= is_name(ids, layout) & ~planted
    row, column = np.nonzero(open_ends)
    while len(row):
        clash = (ids[row, column][:, None] == names[row]).any(1)
        row, column = row[clash], column[clash]
        ids[row, column] = rng.integers(layout.name_start, layout.name_stop, len(row))
