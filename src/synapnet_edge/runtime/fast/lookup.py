"""Looking things up: keys and values of the open chunk, its sparse attention, and the memory's read."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from synapnet_edge.runtime.fast.simd import (
    above,
    add,
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
    maximum,
    mul,
    setf,
    seti,
    splatf,
    splati,
    spreadf,
    storef,
    sub,
    total,
    totali,
)
from synapnet_edge.runtime.fast.stages import normalise

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
def match(query, width, keys, blocks, bias, out):
    """Logits of one query against blocks of sixteen keys: `bias + q . k`."""
    step = 64 * width
    while blocks >= 4:
        s0 = s1 = s2 = s3 = splatf(_ZERO)
        k = keys
        for j in range(width):
            q = spreadf(query + 4 * j)
            s0 = fma(q, loadf(k), s0)
            s1 = fma(q, loadf(k + step), s1)
            s2 = fma(q, loadf(k + 2 * step), s2)
            s3 = fma(q, loadf(k + 3 * step), s3)
            k += 64
        storef(out, add(s0, loadf(bias)))
        storef(out + 64, add(s1, loadf(bias + 64)))
        storef(out + 128, add(s2, loadf(bias + 128)))
        storef(out + 192, add(s3, loadf(bias + 192)))
        keys += 4 * step
        bias += 256
        out += 256
        blocks -= 4
    for _ in range(blocks):
        s0 = splatf(_ZERO)
        for j in range(width):
            s0 = fma(spreadf(query + 4 * j), loadf(keys + 64 * j), s0)
        storef(out, add(s0, loadf(bias)))
        keys += step
        bias += 64
        out += 64


@njit(error_model="numpy")
def highest(logits, blocks):
    """Largest logit."""
    top = splatf(_HIDDEN)
    for v in range(blocks):
        top = maximum(top, loadf(logits + 64 * v))
    return largest(top)


@njit(error_model="numpy")
def exponentials(logits, blocks, top):
    """Replace logits by e^(logit - top); returns their sum."""
    sums, shift = splatf(_ZERO), splatf(top)
    for v in range(blocks):
        value = exp(sub(loadf(logits + 64 * v), shift))
        storef(logits + 64 * v, value)
        sums = add(sums, value)
    return total(sums)


@njit(error_model="numpy")
def collect(weights, count, values, step, out, vectors, fresh):
    """`out (+)= sum over n of weights[n] * values[n]`; four sums, so that none waits for the other."""
    for v in range(vectors):
        s0 = splatf(_ZERO) if fresh else loadf(out + 64 * v)
        s1 = s2 = s3 = splatf(_ZERO)
        row, w = values + 64 * v, weights
        left = count
        while left >= 4:
            s0 = fma(spreadf(w), loadf(row), s0)
            s1 = fma(spreadf(w + 4), loadf(row + step), s1)
            s2 = fma(spreadf(w + 8), loadf(row + 2 * step), s2)
            s3 = fma(spreadf(w + 12), loadf(row + 3 * step), s3)
            row += 4 * step
            w += 16
            left -= 4
        for _ in range(left):
            s0 = fma(spreadf(w), loadf(row), s0)
            row += step
            w += 4
        storef(out + 64 * v, add(add(s0, s1), add(s2, s3)))


@njit(error_model="numpy")
def chunk_bias(at, block, top_k, log_salience, padded, ranks, bias):
    """Log-salience of the keys that token `at` of the open chunk sees, -inf for the others, whole vectors.

    It sees its own and the previous block of tokens up to itself, and the `top_k` most salient before those.
    """
    local = (at // block - 1) * block
    some = local > top_k
    if some:
        rank(log_salience, local, padded, ranks)
    for n in range((at + 16) & ~15):
        seen = n <= at
        if some and n < local:
            seen = geti(ranks + 4 * n) < top_k
        setf(bias + 4 * n, getf(log_salience + 4 * n) if seen else _HIDDEN)


@njit(error_model="numpy")
def attend(at, heads, width, vectors, query, keys, values, chunk_blocks, bias, logits, acc, out):
    """Sparse attention of token `at` of the open chunk; `query` and the values are padded per head."""
    blocks, row = (at + 16) >> 4, 64 * vectors
    for head in range(heads):
        match(query + head * row, width, keys + head * chunk_blocks * width * 64, blocks, bias, logits)
        top = highest(logits, blocks)
        share = _ONE / exponentials(logits, blocks, top)
        collect(logits, at + 1, values + head * chunk_blocks * 16 * row, row, acc, vectors, True)
        for v in range(vectors):
            storef(out + 4 * head * width + 64 * v, mul(loadf(acc + 64 * v), splatf(share)))


@njit(error_model="numpy")
def read_memory(
    at, heads, width, vectors, query, keys, values, chunk_blocks, bias, logits, acc, out,
    s_keys, s_values, s_blocks, s_room, s_count, mass, null, found,
):  # fmt: skip
    """The memory's read of token `at`: stored entries, earlier tokens of the open chunk, the null slot.

    `bias` holds the stored entries' (`s_blocks` vectors) and then the open tokens'. `query` is scaled; its
    last feature alone answers to the null slot, whose value is zero.
    """
    blocks, row = (at + 15) >> 4, 64 * vectors
    for head in range(heads):
        q = query + head * row
        match(q, width, s_keys + head * s_room * width * 64, s_blocks, bias, logits)
        opened = logits + 64 * s_blocks
        match(q, width, keys + head * chunk_blocks * width * 64, blocks, bias + 64 * s_blocks, opened)
        none = getf(q + 4 * (width - 1)) * getf(null + 4 * head) * np.float32(width)
        top = max(highest(logits, s_blocks + blocks), none)
        sums = exponentials(logits, s_blocks + blocks, top)
        share = _ONE / (sums + largest(exp(splatf(none - top))))
        collect(logits, s_count, s_values + head * s_room * 16 * row, row, acc, vectors, True)
        collect(opened, at, values + head * chunk_blocks * 16 * row, row, acc, vectors, False)
        if mass != 0:
            for v in range(s_blocks):
                given = fma(loadf(logits + 64 * v), splatf(share), loadf(mass + 64 * v))
                storef(mass + 64 * v, given)
        for v in range(vectors):
            storef(out + 4 * head * width + 64 * v, mul(loadf(acc + 64 * v), splatf(share)))
        last = out + 4 * (head * width + width - 1)
        setf(last, getf(last) * getf(found + 4 * head))


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
