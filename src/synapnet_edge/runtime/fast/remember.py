"""Writing a finished chunk to the stream's own memory: its most salient tokens, and the most salient stay."""

from __future__ import annotations

import numpy as np
from numba import njit

from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.lookup import rank
from synapnet_edge.simd import (
    getf,
    geti,
    getw,
    kernel,
    loadf,
    round_half,
    setf,
    seti,
    setw,
    storef,
)

_LARGEST, _LEAST_SCALE = np.float32(127.0), np.float32(6.2e-5)
_ZERO, _HIDDEN = np.float32(0.0), np.float32(-np.inf)


@njit(error_model="numpy")
def move_entry(
    source_keys, source_values, source_room, n, keys, values, room, target, heads, width, vectors, rounds
):  # fmt: skip
    """Copy entry `n` of one set of keys and values to place `target` of another; `rounds`: to INT8 levels."""
    for head in range(heads):
        key = source_keys + (head * source_room + (n >> 4)) * width * 64 + 4 * (n & 15)
        value = source_values + (head * source_room * 16 + n) * 64 * vectors
        to_key = keys + (head * room + (target >> 4)) * width * 64 + 4 * (target & 15)
        to_value = values + (head * room * 16 + target) * 64 * vectors
        for j in range(width):
            setf(to_key + 64 * j, getf(key + 64 * j))
        for v in range(vectors):
            storef(to_value + 64 * v, loadf(value + 64 * v))
        if rounds:
            round_entry(to_key, 64, width)
            round_entry(to_value, 4, width)


@njit(error_model="numpy")
def round_entry(first, step, width):
    """Round a head's vector to 255 levels with an FP16 scale, in place; as `MemoryQuantizer` does."""
    top = _ZERO
    for j in range(width):
        top = max(top, abs(getf(first + step * j)))
    scale = round_half(max(top / _LARGEST, _LEAST_SCALE))
    for j in range(width):
        code = np.rint(getf(first + step * j) / scale)
        setf(first + step * j, min(max(code, -_LARGEST), _LARGEST) * scale)


@kernel(4)
def write_chunk(model, stream, own, mine):
    """Append the `SLOTS` most salient tokens; of a full memory the most salient entries stay, in order."""
    heads, width = getw(model + 8 * t.HEADS), getw(model + 8 * t.WIDTH)
    vectors = getw(model + 8 * t.WIDTH_PAD) >> 4
    chunk, slots, capacity = (
        getw(stream + 8 * t.CHUNK),
        getw(stream + 8 * t.SLOTS),
        getw(stream + 8 * t.CAPACITY),
    )
    salience, bias, positions = (
        getw(own + 8 * t.LOG_SALIENCE),
        getw(own + 8 * t.S_BIAS),
        getw(own + 8 * t.S_POSITIONS),
    )
    keys, values, room = getw(own + 8 * t.S_KEYS), getw(own + 8 * t.S_VALUES), getw(own + 8 * t.S_ROOM)
    padded, ranks, union = getw(mine + 8 * t.PADDED), getw(mine + 8 * t.RANKS), getw(mine + 8 * t.LOGITS)
    chosen = getw(mine + 8 * t.BIAS)
    stored, new = getw(own + 8 * t.S_ENTRIES), 0
    rank(salience, chunk, padded, ranks)
    for n in range(stored):
        setf(union + 4 * n, getf(bias + 4 * n))
    for n in range(chunk):
        if geti(ranks + 4 * n) < slots:
            seti(chosen + 4 * new, np.int32(n))
            setf(union + 4 * (stored + new), getf(salience + 4 * n))
            new += 1
    full = stored + new > capacity
    if full:
        rank(union, stored + new, padded, ranks)
    count = 0
    for n in range(stored):
        if full and geti(ranks + 4 * n) >= capacity:
            continue
        if count != n:
            move_entry(keys, values, room, n, keys, values, room, count, heads, width, vectors, False)
            setf(bias + 4 * count, getf(bias + 4 * n))
            setw(positions + 8 * count, getw(positions + 8 * n))
        count += 1
    start = getw(stream + 8 * t.TOKENS) - getw(stream + 8 * t.FILL)
    for n in range(new):
        if full and geti(ranks + 4 * (stored + n)) >= capacity:
            continue
        token = geti(chosen + 4 * n)
        move_entry(
            getw(own + 8 * t.M_KEYS), getw(own + 8 * t.M_VALUES), (chunk + 15) >> 4, token,
            keys, values, room, count, heads, width, vectors, getw(stream + 8 * t.ENTRY_INT8) != 0,
        )  # fmt: skip
        setf(bias + 4 * count, getf(salience + 4 * token))
        setw(positions + 8 * count, start + token)
        count += 1
    for n in range(count, 16 * room):
        setf(bias + 4 * n, _HIDDEN)
    setw(own + 8 * t.S_ENTRIES, count)
    setf(getw(own + 8 * t.S_COUNT), np.float32(count))
