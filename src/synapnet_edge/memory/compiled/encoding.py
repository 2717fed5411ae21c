"""New entries in INT8: a scale for every entry and head, and its codes, in one pass over their float16."""

from __future__ import annotations

import numpy as np
from numba import njit

from synapnet_edge.memory.compiled.addresses import copy_bytes
from synapnet_edge.simd import (
    LANES,
    absolute,
    div,
    largest,
    load_half,
    maximum,
    round_half,
    rounded,
    set_half,
    splatf,
    store_bytes,
)

_LEVELS = np.float32(127.0)


@njit("void(int64, int64, int64, float32, int64, int64)", error_model="numpy", cache=True)
def encode(values, rows, width, floor, codes, scales):
    """`tiers.quantize_int8` of float16 rows, to the last bit.

    Parameters
    ----------
    values : address of [rows, width] float16
    floor : smallest scale
    codes, scales : addresses of [rows, width] int8 and [rows] float16
        Result.
    """
    space = np.zeros(3 * LANES, np.uint8)
    rest, rest_codes = space.ctypes.data, space.ctypes.data + 2 * LANES
    whole = width - width % LANES
    for row in range(rows):
        x, own = values + 2 * row * width, codes + row * width
        peak = splatf(np.float32(0.0))
        for start in range(0, whole, LANES):
            peak = maximum(peak, absolute(load_half(x + 2 * start)))
        if whole < width:  # vectors are read whole; what is behind the row counts as 0
            copy_bytes(rest, x + 2 * whole, 2 * (width - whole))
            peak = maximum(peak, absolute(load_half(rest)))
        scale = round_half(max(largest(peak) / _LEVELS, floor))
        set_half(scales + 2 * row, scale)
        for start in range(0, whole, LANES):
            store_bytes(own + start, rounded(div(load_half(x + 2 * start), splatf(scale))))
        if whole < width:
            store_bytes(rest_codes, rounded(div(load_half(rest), splatf(scale))))
            copy_bytes(own + whole, rest_codes, width - whole)
    space[0] = 0  # holds it: a name that is not used again is freed
