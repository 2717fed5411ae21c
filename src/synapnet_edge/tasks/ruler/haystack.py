"""The background haystack of the guarded tasks and its record hygiene."""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.layout import ANSWER_START, BOS, QUERY, SEP, Layout

DECOY_RATE = 32  # one answer token and one name in 32 tokens, in every split and at every length
TAIL = 8  # tokens at the end of a row that hold no record: background ids, then the query block


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


def framed_background(
    rng: np.random.Generator, batch: int, length: int, block: int, layout: Layout
) -> np.ndarray:
    """Background [B, L] with BOS and the tail: plain background ids, then QUERY, block - 2 arguments, SEP.

    The arguments are left for the task to write.
    """
    ids = background(rng, batch, length, layout)
    ids[:, -TAIL:] = rng.integers(layout.background_start, layout.vocab_size, (batch, TAIL))
    ids[:, 0], ids[:, -block], ids[:, -1] = BOS, QUERY, SEP
    return ids


def read_record(ids: np.ndarray, marker: int, keys: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Last token of the first record `marker, keys..., x` of every row.

    Parameters
    ----------
    ids : [B, L]
    marker : int
    keys : list of [B]
        The tokens between the marker and x.

    Returns
    -------
    token, found : [B] int64, [B] bool
        x, and whether there is such a record (x means nothing where there is none).
    """
    places = ids.shape[1] - len(keys) - 1
    hit = ids[:, :places] == marker
    for offset, key in enumerate(keys, start=1):
        hit &= ids[:, offset : places + offset] == key[:, None]
    token = np.take_along_axis(ids, hit.argmax(1)[:, None] + len(keys) + 1, 1)[:, 0]
    return token, hit.any(1)


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
