"""Attention over stored entries where they lie: 64 at a time are decoded, met by all queries, forgotten."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from synapnet_edge.memory.compiled.addresses import copy_bytes
from synapnet_edge.simd import (
    add,
    exp,
    get_half,
    getf,
    getw,
    load_codes,
    load_half,
    loadf,
    mul,
    setf,
    splatf,
    storef,
    sub,
)
from synapnet_edge.simd_tiles import collect, exponentials, highest, match, transpose

#: Entries decoded at once: their floats and the logits of a chunk's queries stay in the first-level cache.
TILE = 64
#: Words of a block of slots in the table `parts`.
INT8, KEYS, KEY_SCALES, VALUES, VALUE_SCALES, ENTRIES, PART_WORDS = range(7)
_ONE, _HIDDEN = np.float32(1.0), np.float32(-np.inf)


@njit(error_model="numpy")
def decode(source, step, scales, scale_step, count, width, vectors, rest, out):
    """Float32 rows of `vectors` vectors of one head of `count` entries; `scales` = 0: they are float16."""
    whole = width >> 4
    for n in range(count):
        x, target = source + n * step, out + n * 64 * vectors
        if scales != 0:
            scale = splatf(get_half(scales + n * scale_step))
            for v in range(whole):
                storef(target + 64 * v, mul(load_codes(x + 16 * v), scale))
            if whole < vectors:  # vectors are read whole; `rest` is zero behind the row's end
                copy_bytes(rest, x + 16 * whole, width - 16 * whole)
                storef(target + 64 * whole, mul(load_codes(rest), scale))
        else:
            for v in range(whole):
                storef(target + 64 * v, load_half(x + 32 * v))
            if whole < vectors:
                copy_bytes(rest, x + 32 * whole, 2 * (width - 16 * whole))
                storef(target + 64 * whole, load_half(rest))


@njit(error_model="numpy")
def decode_part(part, keys, head, first, count, heads, width, vectors, rest, out):
    """`decode` of the keys or the values of entries `first`.. of a block of slots."""
    kind, scale = (KEYS, KEY_SCALES) if keys else (VALUES, VALUE_SCALES)
    size = 1 if getw(part + 8 * INT8) else 2
    step, scales = heads * width * size, 0
    if size == 1:
        scales = getw(part + 8 * scale) + 2 * (first * heads + head)
    source = getw(part + 8 * kind) + first * step + head * width * size
    decode(source, step, scales, 2 * heads, count, width, vectors, rest, out)


@njit(error_model="numpy")
def tile_logits(part, head, first, count, heads, width, vectors, bias, query, queries, space, logits):
    """Logits [queries, TILE] of one head against entries `first`.. of a block of slots."""
    rest, rows, keys = space, space + 64, space + 64 + 64 * TILE * vectors
    decode_part(part, True, head, first, count, heads, width, vectors, rest, rows)
    for block in range(TILE >> 4):
        for v in range(vectors):
            at = 16 * block * 64 * vectors + 64 * v
            transpose(rows + at, 64 * vectors, keys + block * 1024 * vectors + 1024 * v)
    for n in range(TILE):
        setf(logits + 4 * n, getf(bias + 4 * n) if n < count else _HIDDEN)
    for v in range(TILE >> 4):
        level = loadf(logits + 64 * v)
        for t in range(1, queries):
            storef(logits + 4 * t * TILE + 64 * v, level)
    t = 0
    while t < queries:
        many = 4 if queries - t >= 4 else 1
        own, place = query + t * 64 * vectors, logits + 4 * t * TILE
        match(many, own, 64 * vectors, 16 * vectors, keys, TILE >> 4, place, place, 4 * TILE)
        t += many


@njit(error_model="numpy")
def add_tile(query, queries, vectors, logits, count, values, tops, sums, out):
    """Add a tile's entries to the running softmax of one head's queries."""
    row = 64 * vectors
    for t in range(queries):
        own = logits + 4 * t * TILE
        top, before = highest(own, TILE >> 4), getf(tops + 4 * t)
        if top > before:
            shrink = math.exp(before - top)
            setf(tops + 4 * t, top)
            setf(sums + 4 * t, getf(sums + 4 * t) * shrink)
            for v in range(vectors):
                place = out + t * row + 64 * v
                storef(place, mul(loadf(place), splatf(shrink)))
        else:
            top = before
        setf(sums + 4 * t, getf(sums + 4 * t) + exponentials(own, TILE >> 4, top))
    t = 0
    while t < queries:
        many = 4 if queries - t >= 4 else 1
        collect(many, logits + 4 * t * TILE, 4 * TILE, count, values, row, out + t * row, vectors)
        t += many


@njit(error_model="numpy")
def add_mass(queries, logits, shifts, count, mass):
    """Add to `mass` what a head's queries give to the entries of a tile; e^(logit - shift) is the share."""
    for v in range(TILE >> 4):
        received = splatf(np.float32(0.0))
        for t in range(queries):
            shift = splatf(getf(shifts + 4 * t))
            received = add(received, exp(sub(loadf(logits + 4 * t * TILE + 64 * v), shift)))
        storef(logits + 64 * v, received)
    for n in range(count):
        setf(mass + 4 * n, getf(mass + 4 * n) + getf(logits + 4 * n))


@njit(
    "void(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)",
    error_model="numpy",
    nogil=True,
    cache=True,
)
def attend(query, first_head, last_head, heads, queries, width, parts, count, bias, tops, sums, out, mass):
    """Go on with a softmax of some heads of one stream: over what was seen so far, and the stored entries.

    Parameters
    ----------
    query : address of [heads, queries, V] float32, scaled; V = width in whole vectors, zeros behind it.
    first_head, last_head, heads : the heads to do, and how many an entry has.
    parts, count : address of the blocks of slots [count, PART_WORDS], and how many.
    bias : address of [all their entries] float32; -inf hides an entry.
    tops, sums : addresses of [heads, queries] float32
        Largest logit so far, finite, and the sum of e^(logit - top); afterwards those of everything.
    out : address of [heads, queries, V] float32
        Sum of e^(logit - top) times values so far; afterwards the weighted mean.
    mass : address of [all entries] float32, or 0
        What the queries of these heads give to each entry is added to it.
    """
    vectors = (width + 15) >> 4
    row = 64 * vectors
    # A vector of zeros, a tile's rows, its keys feature by feature, and the logits of all queries.
    space = np.zeros(16 + 2 * 16 * TILE * vectors + TILE * queries, np.float32)
    scratch = space.ctypes.data
    rows, logits = scratch + 64, scratch + 64 + 2 * 64 * TILE * vectors
    start = bias
    for index in range(count):
        part = parts + 8 * PART_WORDS * index
        for first in range(0, getw(part + 8 * ENTRIES), TILE):
            some = min(TILE, getw(part + 8 * ENTRIES) - first)
            for head in range(first_head, last_head):
                own = head * queries
                tile_logits(
                    part, head, first, some, heads, width, vectors, start + 4 * first, query + own * row,
                    queries, scratch, logits,
                )  # fmt: skip
                decode_part(part, False, head, first, some, heads, width, vectors, scratch, rows)
                add_tile(
                    query + own * row, queries, vectors, logits, some, rows, tops + 4 * own, sums + 4 * own,
                    out + own * row,
                )  # fmt: skip
        start += 4 * getw(part + 8 * ENTRIES)
    for t in range(first_head * queries, last_head * queries):
        for v in range(vectors):
            place = out + t * row + 64 * v
            storef(place, mul(loadf(place), splatf(_ONE / getf(sums + 4 * t))))
    if mass != 0:
        for t in range(first_head * queries, last_head * queries):  # e^(logit - this) is a probability
            setf(tops + 4 * t, getf(tops + 4 * t) + math.log(getf(sums + 4 * t)))
        start = 0
        for index in range(count):
            part = parts + 8 * PART_WORDS * index
            for first in range(0, getw(part + 8 * ENTRIES), TILE):
                some, at = min(TILE, getw(part + 8 * ENTRIES) - first), start + 4 * first
                for head in range(first_head, last_head):
                    own = head * queries
                    tile_logits(
                        part, head, first, some, heads, width, vectors, bias + at, query + own * row, queries,
                        scratch, logits,
                    )  # fmt: skip
                    add_mass(queries, logits, tops + 4 * own, some, mass + at)
            start += 4 * getw(part + 8 * ENTRIES)
    space[0] = 0  # holds it: a name that is not used again is freed
