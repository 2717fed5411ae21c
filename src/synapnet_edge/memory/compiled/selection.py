"""Looking through scores: whether all are finite, and the K lowest of N in one pass."""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synapnet_edge.memory.compiled.addresses import at

_EXPONENT = np.int64(0x7FF0000000000000)  # of a float64; all of its bits are set in infinities and NaN


@njit("boolean(int64, int64)", error_model="numpy", cache=True)
def all_finite(numbers, count):
    """Whether so many float64 are finite."""
    patterns = carray(at(numbers), count, np.int64)
    found = 0
    for n in range(count):  # to the end: a loop without exit becomes vector code
        found += (patterns[n] & _EXPONENT) == _EXPONENT
    return found == 0


@njit(error_model="numpy")
def _after(values, places, a, b):
    """Whether the a-th member of the heap comes behind the b-th."""
    return values[a] > values[b] or (values[a] == values[b] and places[a] > places[b])


@njit(error_model="numpy")
def _sink(values, places, root, size):
    """Restore the order of a heap of `size`, the last in rank on top, where only `root` is misplaced."""
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and _after(values, places, child + 1, child):
            child += 1
        if not _after(values, places, child, root):
            return
        values[root], values[child] = values[child], values[root]
        places[root], places[child] = places[child], places[root]
        root = child


@njit(error_model="numpy")
def select(scores, occupied, empty, sign, values, places):
    """Write the K lowest of `sign * scores[n]` in ascending order.

    A heap holds the K lowest so far; only a number below its highest enters, which is rare once some K
    numbers have been seen, so that the pass is a comparison per number.

    Parameters
    ----------
    scores : [N] float64
    occupied : [N] int32
        Negative: there is no entry at this place, and its number is `empty` whatever its score.
    empty : float
    sign : 1.0 or -1.0 (the K highest scores, highest first)
    values, places : [K] float64, int64
        Result; K <= N.
    """
    size = values.shape[0]
    if size == 0:
        return
    for n in range(size):
        values[n] = sign * scores[n] if occupied[n] >= 0 else empty
        places[n] = n
    for root in range(size // 2 - 1, -1, -1):
        _sink(values, places, root, size)
    highest = values[0]
    for n in range(size, scores.shape[0]):
        value = sign * scores[n] if occupied[n] >= 0 else empty
        if value < highest:  # an equal one comes behind: its place is higher
            values[0], places[0] = value, n
            _sink(values, places, 0, size)
            highest = values[0]
    for last in range(size - 1, 0, -1):
        values[0], values[last] = values[last], values[0]
        places[0], places[last] = places[last], places[0]
        _sink(values, places, 0, last)


@njit("void(int64, int64, int64, int64, int64, int64)", error_model="numpy", cache=True)
def lowest(scores, rows, count, k, values, places):
    """See `exchange.lowest`: of [rows, count] float64 the k lowest, [rows, k] float64 and int64.

    All parameters but the numbers of rows, of scores and of results are addresses.
    """
    scores = carray(at(scores), (rows, count), np.float64)
    values, places = carray(at(values), (rows, k), np.float64), carray(at(places), (rows, k), np.int64)
    everywhere = np.zeros(count, np.int32)
    for row in range(rows):
        select(scores[row], everywhere, 0.0, 1.0, values[row], places[row])
