"""Attention over stored entries where they lie: 64 at a time are decoded, met by all queries, forgotten."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from synapnet_edge.memory.compiled.addresses import copy_bytes
from synapnet_edge.simd import (
    add,
    exp,
    fma,
    gather_half,
    get_half,
    getf,
    getw,
    kernel,
    load_codes,
    load_half,
    loadf,
    mul,
    prefetch,
    setf,
    splatf,
    storef,
    sub,
)
from synapnet_edge.simd_tiles import (
    collect,
    collect_packed,
    exponentials,
    highest,
    match,
    transpose,
    transpose_codes,
    transpose_halves,
)

#: Entries decoded at once: their floats and the logits of a chunk's queries stay in the first-level cache.
TILE = 64
#: Words of a block of slots in the table `parts`.
SIZE, KEYS, KEY_SCALES, VALUES, VALUE_SCALES, ENTRIES, PART_WORDS = range(7)
_ZERO, _ONE, _HIDDEN = np.float32(0.0), np.float32(1.0), np.float32(-np.inf)
_BLOCKS = TILE >> 4


def space_floats(width: int, queries: int) -> int:
    """Size of the kernel's work space: zeros, scales, rows of a tile, its keys by feature, and logits."""
    return 16 + TILE + 2 * TILE * (-(-width // 16) * 16) + TILE * queries


@njit(error_model="numpy")
def decode(source, step, size, count, width, vectors, rest, out):
    """Float32 rows of `vectors` vectors of one head of `count` entries: int8 codes (`size` 1) or float16."""
    whole = width >> 4
    for n in range(count):
        x, target = source + n * step, out + n * 64 * vectors
        for v in range(vectors):
            at = x + 16 * v * size
            if v == whole:  # vectors are read whole; `rest` is zero behind the row's end
                copy_bytes(rest, at, (width - 16 * whole) * size)
                at = rest
            storef(target + 64 * v, load_codes(at) if size == 1 else load_half(at))


@njit(error_model="numpy")
def place_scales(part, kind, head, first, count, heads, out):
    """One head's scales of a tile; 1 where entries have none."""
    source, step = getw(part + 8 * kind), 2 * heads
    if source == 0:
        for v in range(_BLOCKS):
            storef(out + 64 * v, splatf(_ONE))
        return
    source += first * step + 2 * head
    for v in range(_BLOCKS if count == TILE else 0):
        storef(out + 64 * v, gather_half(source + 16 * v * step, step))
    for n in range(count if count < TILE else 0):
        setf(out + 4 * n, get_half(source + n * step))


@njit(error_model="numpy")
def place_keys(part, head, first, count, heads, width, vectors, rest, rows, keys):
    """One head's keys of a tile in blocks of sixteen, feature by feature, without their scales."""
    size = getw(part + 8 * SIZE)
    step = heads * width * size
    source = getw(part + 8 * KEYS) + first * step + head * width * size
    direct = count == TILE and width == 16 * vectors
    if not direct:
        decode(source, step, size, count, width, vectors, rest, rows)
    for block in range(_BLOCKS):
        for v in range(vectors):
            target, place = keys + 1024 * (block * vectors + v), source + 16 * (block * step + v * size)
            if not direct:
                transpose(rows + 64 * (16 * block * vectors + v), 64 * vectors, target)
            elif size == 1:
                transpose_codes(place, step, target)
            else:
                transpose_halves(place, step, target)


@njit(error_model="numpy")
def fetch_ahead(part, first, heads, width):
    """Ask for the entries of a tile before their turn: the processor does not see steps of a row coming."""
    size = getw(part + 8 * SIZE)
    step = heads * width * size
    some = min(TILE, getw(part + 8 * ENTRIES) - first)
    for kind in (KEYS, VALUES):
        source = getw(part + 8 * kind) + first * step
        for offset in range(0, some * step, 64):
            prefetch(source + offset)


@njit(error_model="numpy")
def tile_logits(part, head, first, count, heads, width, vectors, bias, query, step, queries, space, logits):
    """Logits [queries, TILE] of one head against entries `first`.. of a block of slots."""
    scales, rows = space + 64, space + 64 + 4 * TILE
    keys = rows + 64 * TILE * vectors
    place_keys(part, head, first, count, heads, width, vectors, space, rows, keys)
    place_scales(part, KEY_SCALES, head, first, count, heads, scales)
    for n in range(queries * _BLOCKS):
        storef(logits + 64 * n, splatf(_ZERO))
    t = 0
    while t < queries:
        many = 4 if queries - t >= 4 else 1
        own, place = query + t * step, logits + 4 * t * TILE
        match(many, own, step, 16 * vectors, keys, _BLOCKS, place, place, 4 * TILE)
        t += many
    for n in range(TILE):  # (the keys are done with)
        setf(keys + 4 * n, getf(bias + 4 * n) if n < count else _HIDDEN)
    for v in range(_BLOCKS):
        scale, level = loadf(scales + 64 * v), loadf(keys + 64 * v)
        for t in range(queries):
            place = logits + 4 * t * TILE + 64 * v
            storef(place, fma(loadf(place), scale, level))


@njit(error_model="numpy")
def add_tile(part, head, first, count, heads, width, vectors, queries, logits, tops, sums, out, step, space):
    """Add a tile's entries to the running softmax of one head's queries."""
    for t in range(queries):
        own = logits + 4 * t * TILE
        top, before = highest(own, _BLOCKS), getf(tops + 4 * t)
        if top > before:
            shrink = math.exp(before - top)
            setf(tops + 4 * t, top)
            setf(sums + 4 * t, getf(sums + 4 * t) * shrink)
            for v in range(vectors):
                place = out + t * step + 64 * v
                storef(place, mul(loadf(place), splatf(shrink)))
        else:
            top = before
        setf(sums + 4 * t, getf(sums + 4 * t) + exponentials(own, _BLOCKS, top))
    scales, rows = space + 64, space + 64 + 4 * TILE
    size = getw(part + 8 * SIZE)
    if size == 1:
        place_scales(part, VALUE_SCALES, head, first, count, heads, scales)
        for v in range(_BLOCKS):
            scale = loadf(scales + 64 * v)
            for t in range(queries):
                place = logits + 4 * t * TILE + 64 * v
                storef(place, mul(loadf(place), scale))
    row = heads * width * size
    source = getw(part + 8 * VALUES) + first * row + head * width * size
    if queries == 1 and width == 16 * vectors:
        collect_packed(logits, count, source, row, size, out, vectors)
        return
    decode(source, row, size, count, width, vectors, space, rows)
    t = 0
    while t < queries:
        many = 4 if queries - t >= 4 else 1
        collect(
            many, logits + 4 * t * TILE, 4 * TILE, count, rows, 64 * vectors, out + t * step, step, vectors
        )
        t += many


@njit(error_model="numpy")
def add_mass(queries, logits, shifts, count, mass):
    """Add to `mass` what a head's queries give to the entries of a tile; e^(logit - shift) is the share."""
    for v in range(_BLOCKS):
        received = splatf(_ZERO)
        for t in range(queries):
            shift = splatf(getf(shifts + 4 * t))
            received = add(received, exp(sub(loadf(logits + 4 * t * TILE + 64 * v), shift)))
        storef(logits + 64 * v, received)
    for n in range(count):
        setf(mass + 4 * n, getf(mass + 4 * n) + getf(logits + 4 * n))


@kernel(19)
def attend(
    query, q_head, q_step, first_head, last_head, heads, queries, width, parts, count, bias, tops, sums,
    out, o_head, o_step, mass, kept, space,
):  # fmt: skip
    """Go on with a softmax of some heads of one stream: over what was seen so far, and the stored entries.

    Parameters
    ----------
    query, q_head, q_step : address of scaled float32 queries, and bytes from head to head, token to token
        Each is `width` in whole vectors, with zeros behind its end.
    first_head, last_head, heads : the heads to do, and how many an entry has.
    queries, width : tokens, and features of a head.
    parts, count : address of the blocks of slots [count, PART_WORDS], and how many.
    bias : address of [all their entries] float32; -inf hides an entry.
    tops, sums : addresses of [heads, queries] float32
        Largest logit so far, finite, and the sum of e^(logit - top); overwritten.
    out, o_head, o_step : address and steps, as of the queries
        Sum of e^(logit - top) times values so far; afterwards the weighted mean of everything.
    mass : address of [all entries] float32, or 0
        What the queries of these heads give to each entry is added to it.
    kept : address of [tiles, heads, queries, TILE] float32, or 0
        Room for all logits, which `mass` then need not compute again: worth it for few queries.
    space : address of `space_floats` float32, zeros at first and then only written by this kernel
    """
    vectors = (width + 15) >> 4
    logits = space + 64 + 4 * TILE + 2 * 64 * TILE * vectors
    start, tile = bias, 4 * TILE * queries
    saved = kept
    for index in range(count):
        part = parts + 8 * PART_WORDS * index
        for first in range(0, getw(part + 8 * ENTRIES), TILE):
            some = min(TILE, getw(part + 8 * ENTRIES) - first)
            if some == TILE:
                fetch_ahead(part, first + TILE, heads, width)
            for head in range(first_head, last_head):
                own = 4 * head * queries
                tile_logits(
                    part, head, first, some, heads, width, vectors, start + 4 * first, query + head * q_head,
                    q_step, queries, space, logits,
                )  # fmt: skip
                if kept != 0:
                    for n in range(queries * _BLOCKS):
                        storef(saved + head * tile + 64 * n, loadf(logits + 64 * n))
                add_tile(
                    part, head, first, some, heads, width, vectors, queries, logits, tops + own, sums + own,
                    out + head * o_head, o_step, space,
                )  # fmt: skip
            saved += heads * tile
        start += 4 * getw(part + 8 * ENTRIES)
    for head in range(first_head, last_head):
        for t in range(queries):
            place = 4 * (head * queries + t)
            share = splatf(_ONE / getf(sums + place))
            for v in range(vectors):
                mean = out + head * o_head + t * o_step + 64 * v
                storef(mean, mul(loadf(mean), share))
            setf(tops + place, getf(tops + place) + math.log(getf(sums + place)))
    start, saved = 0, kept
    for index in range(count if mass != 0 else 0):
        part = parts + 8 * PART_WORDS * index
        for first in range(0, getw(part + 8 * ENTRIES), TILE):
            some, at = min(TILE, getw(part + 8 * ENTRIES) - first), start + 4 * first
            for head in range(first_head, last_head):
                seen = saved + head * tile
                if kept == 0:
                    seen = logits
                    tile_logits(
                        part, head, first, some, heads, width, vectors, bias + at, query + head * q_head,
                        q_step, queries, space, logits,
                    )  # fmt: skip
                # e^(logit - top - log(sum)) is a probability.
                add_mass(queries, seen, tops + 4 * head * queries, some, mass + at)
            saved += heads * tile
        start += 4 * getw(part + 8 * ENTRIES)
