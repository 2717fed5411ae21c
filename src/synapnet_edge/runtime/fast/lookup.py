"""Looking things up: keys and values of the open chunk, its sparse attention, and the memory's read."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from synapnet_edge.runtime.fast.stages import normalise
from synapnet_edge.simd import (
    above,
    addi,
    andi,
    equal,
    exp,
    fma,
    getf,
    geti,
    lane_numbers,
    largest,
    loadf,
    mul,
    setf,
    seti,
    splatf,
    splati,
    spreadf,
    storef,
    totali,
)
from synapnet_edge.simd_tiles import clear, collect, exponentials, highest, match

_ZERO, _ONE, _NONE = np.float32(0.0), np.float32(1.0), np.int32(0)
_HIDDEN = np.float32(-np.inf)


@njit(error_model="numpy")
def rank(values, count, padded, ranks):
    """How many of `count` floats come before each one: the larger, and the equal ones of lower index.

    Parameters
    ----------
    values, padded, ranks : addresses
        The floats, room for them in whole vectors, and int32 results.
    """
    vectors = (count + 15) >> 4
    for v in range(vectors):
        storef(padded + 64 * v, splatf(_HIDDEN))
    for n in range(count):
        setf(padded + 4 * n, getf(values + 4 * n))
    for n in range(count):
        own, before = spreadf(padded + 4 * n), splati(_NONE)
        for v in range(vectors):
            other = loadf(padded + 64 * v)
            earlier = above(splatf(np.float32(n - 16 * v)), lane_numbers())
            before = addi(before, addi(above(other, own), andi(equal(other, own), earlier)))
        seti(ranks + 4 * n, totali(before))


@njit(error_model="numpy")
def put_key(key, keys, blocks, width, head, n):
    """Store a head's key as the n-th: keys lie in blocks of sixteen, feature by feature.

    What the block holds behind the last key is finite (zeros, or keys of the chunk before), and hidden.
    """
    block = keys + (head * blocks + (n >> 4)) * width * 64
    for j in range(width):
        setf(block + 64 * j + 4 * (n & 15), getf(key + 4 * j))


@njit(error_model="numpy")
def chunk_bias(at, local, top_k, blocks, log_salience, ranks, bias):
    """Log-salience of the keys that token `at` of the open chunk sees, -inf for others, `blocks` vectors.

    It sees its own and the previous block of tokens up to itself, and of those before, whose number is
    `local`, the `top_k` most salient (`ranks`).
    """
    for n in range(16 * blocks):
        seen = n <= at
        if local > top_k and n < local:
            seen = geti(ranks + 4 * n) < top_k
        setf(bias + 4 * n, getf(log_salience + 4 * n) if seen else _HIDDEN)


@njit(error_model="numpy")
def open_bias(queries, at, salience, bias, line):
    """Log-salience of the open tokens before each of some queries, the last of them `at`; -inf for others."""
    for q in range(queries):
        for n in range((at + 15) & ~15):
            seen = n < at - queries + 1 + q
            setf(bias + q * line + 4 * n, getf(salience + 4 * n) if seen else _HIDDEN)


@njit(error_model="numpy")
def attend(
    queries, at, heads, width, vectors, query, q_step, keys, values, chunk_blocks, bias, logits, line, acc,
    out, step,
):  # fmt: skip
    """Sparse attention of one or four tokens, the last of them `at`; queries and values are padded per head.

    Of four tokens, the earlier ones give the keys behind themselves the weight 0, which changes no bit.
    """
    blocks, row = (at + 16) >> 4, 64 * vectors
    shares = acc + queries * row
    for head in range(heads):
        match(
            queries, query + head * row, q_step, width, keys + head * chunk_blocks * width * 64, blocks, bias,
            logits, line,
        )  # fmt: skip
        for q in range(queries):
            top = highest(logits + q * line, blocks)
            setf(shares + 4 * q, _ONE / exponentials(logits + q * line, blocks, top))
        clear(acc, queries * vectors)
        collect(
            queries, logits, line, at + 1, values + head * chunk_blocks * 16 * row, row, acc, row, vectors
        )
        for q in range(queries):
            share = spreadf(shares + 4 * q)
            for v in range(vectors):
                place = out + q * step + 4 * head * width + 64 * v
                storef(place, mul(loadf(acc + q * row + 64 * v), share))


@njit(error_model="numpy")
def read_memory(
    queries, at, heads, width, vectors, query, q_step, keys, values, chunk_blocks, bias, logits, line, acc,
    out, step, s_keys, s_values, s_blocks, s_room, s_count, mass, null, found,
):  # fmt: skip
    """The memory's read of one or four tokens, the last of them `at`: entries, earlier tokens, null slot.

    `bias` holds the stored entries' (`s_blocks` vectors) and then the open tokens'. Queries are scaled; their
    last feature alone answers to the null slot, whose value is zero.
    """
    blocks, row = (at + 15) >> 4, 64 * vectors
    shares, opened = acc + queries * row, logits + 64 * s_blocks
    for head in range(heads):
        first = query + head * row
        match(
            queries, first, q_step, width, s_keys + head * s_room * width * 64, s_blocks, bias, logits, line
        )
        match(
            queries, first, q_step, width, keys + head * chunk_blocks * width * 64, blocks,
            bias + 64 * s_blocks, opened, line,
        )  # fmt: skip
        for q in range(queries):
            own = logits + q * line
            none = getf(first + q * q_step + 4 * (width - 1)) * getf(null + 4 * head) * np.float32(width)
            top = max(highest(own, s_blocks + blocks), none)
            sums = exponentials(own, s_blocks + blocks, top)
            share = _ONE / (sums + largest(exp(splatf(none - top))))
            setf(shares + 4 * q, share)
            if mass != 0:
                for v in range(s_blocks):
                    given = fma(loadf(own + 64 * v), splatf(share), loadf(mass + 64 * v))
                    storef(mass + 64 * v, given)
        clear(acc, queries * vectors)
        collect(queries, logits, line, s_count, s_values + head * s_room * 16 * row, row, acc, row, vectors)
        collect(queries, opened, line, at, values + head * chunk_blocks * 16 * row, row, acc, row, vectors)
        for q in range(queries):
            share, place = spreadf(shares + 4 * q), out + q * step + 4 * head * width
            for v in range(vectors):
                storef(place + 64 * v, mul(loadf(acc + q * row + 64 * v), share))
            last = place + 4 * (width - 1)
            setf(last, getf(last) * getf(found + 4 * head))


@njit(error_model="numpy")
def read_open(
    queries, at, heads, width, vectors, query, q_step, keys, values, chunk_blocks, bias, logits, line, acc,
    out, tops, sums, stride, null,
):  # fmt: skip
    """The part of `read_memory` without the stored entries, which go on with it (`compiled.reading.attend`).

    `tops` and `sums` are [heads, stride] float32; `out`, at steps as the queries, is not divided by the sums.
    """
    blocks, row = (at + 15) >> 4, 64 * vectors
    for head in range(heads):
        first = query + head * row
        match(
            queries, first, q_step, width, keys + head * chunk_blocks * width * 64, blocks, bias, logits, line
        )
        for q in range(queries):
            own, place = logits + q * line, 4 * (head * stride + q)
            none = getf(first + q * q_step + 4 * (width - 1)) * getf(null + 4 * head) * np.float32(width)
            top = max(highest(own, blocks), none)
            setf(tops + place, top)
            setf(sums + place, exponentials(own, blocks, top) + largest(exp(splatf(none - top))))
        clear(acc, queries * vectors)
        collect(queries, logits, line, at, values + head * chunk_blocks * 16 * row, row, acc, row, vectors)
        for q in range(queries):
            for v in range(vectors):
                storef(out + q * q_step + head * row + 64 * v, loadf(acc + q * row + 64 * v))


@njit(error_model="numpy")
def place_queries(source, heads, width, vectors, sharpness, growth, seen, answers_null, out):
    """Normalised and scaled queries, padded per head; with `answers_null` the last feature is the scale."""
    root = _ONE / np.float32(math.sqrt(np.float32(width)))
    for head in range(heads):
        target = out + head * 64 * vectors
        normalise(source + 4 * head * width, width, target, 0, vectors)
        scale = getf(sharpness + 4 * head)
        if growth != 0:
            scale = scale + getf(growth + 4 * head) * np.float32(math.log1p(seen))
        scale = scale * root
        if answers_null:
            setf(target + 4 * (width - 1), _ONE)
        for v in range(vectors):
            storef(target + 64 * v, mul(loadf(target + 64 * v), splatf(scale)))


@njit(error_model="numpy")
def place_entry(key, value, heads, width, vectors, blocks, keys, values, n, marks_found, acc):
    """Append a token's key (normalised) and value as the n-th; with `marks_found` values end in 1."""
    row = 64 * vectors
    for head in range(heads):
        normalise(key + 4 * head * width, width, acc, 0, vectors)
        put_key(acc, keys, blocks, width, head, n)
        target = values + (head * blocks * 16 + n) * row
        for j in range(width):
            setf(target + 4 * j, getf(value + 4 * (head * width + j)))
        for j in range(width, 16 * vectors):
            setf(target + 4 * j, _ZERO)
        if marks_found:
            setf(target + 4 * (width - 1), _ONE)
