"""Looking token and position embeddings up."""

from __future__ import annotations

import numpy as np
from numba import njit

from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.calls import word
from synapnet_edge.simd import (
    add,
    get_byte,
    get_half,
    get_short,
    getf,
    getw,
    kernel,
    load_half,
    loadf,
    setf,
    splatf,
    storef,
)

_ZERO, _HALF = np.float32(0.0), np.float32(0.5)


@njit(error_model="numpy")
def table_row(words, row, columns, out, vectors, fresh):
    """Add (or, if `fresh`, store) a row of an embedding table, of FP16 or of packed codes."""
    bits, scales, zeros = word(words, t.KIND), word(words, t.SCALES), word(words, t.ZEROS)
    source = word(words, t.CODES) + row * word(words, t.BLOCKS)
    if fresh:
        for v in range(vectors):
            storef(out + 64 * v, splatf(_ZERO))
    if bits == t.HALF:
        for v in range(vectors):
            storef(out + 64 * v, add(loadf(out + 64 * v), load_half(source + 32 * v)))
        return
    scales += row * word(words, t.SCALE_STEP)
    zeros += row * word(words, t.ZERO_STEP)
    one_scale, one_zero = word(words, t.GROUPS) == 1, word(words, t.ZERO_STEP) == 0
    mask = np.int32((1 << bits) - 1)
    for k in range(columns):
        group, bit = k >> 6, k * bits
        code = (get_byte(source + (bit >> 3)) >> np.int32(bit & 7)) & mask
        # Zero points are stored doubled, so that a level half a step off is a whole number.
        level = np.float32(2 * code - get_short(zeros + (0 if one_zero else 2 * group)))
        scale = get_half(scales + (0 if one_scale else 2 * group))
        setf(out + 4 * k, getf(out + 4 * k) + level * (scale * _HALF))


@kernel(6)
def embed_rows(model, space, ids, first, last, fill):
    """Token and position embeddings."""
    dim, vectors = word(model, t.DIM), word(model, t.DIM_PAD) >> 4
    for token in range(first, last):
        row = word(space, t.X) + token * word(space, t.D_STEP)
        table_row(word(model, t.EMBEDDING), getw(ids + 8 * token), dim, row, vectors, True)
        table_row(word(model, t.POSITIONS), fill + token, dim, row, vectors, False)
