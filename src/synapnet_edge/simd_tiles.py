"""Inner loops of lookups: several queries against sixteen keys at a time, and weighted sums of values.

Keys and values are loaded once for all queries of a tile. One query and four give the same bits: a logit adds
up feature by feature, a weighted sum entry by entry.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types

from synapnet_edge.simd import (
    _F32,
    _FLOATS,
    _I32,
    LANES,
    _none,
    _operation,
    add,
    constant,
    exp,
    largest,
    load,
    load_floats,
    loadf,
    maximum,
    splat,
    splatf,
    store,
    storef,
    sub,
    total,
)
from synapnet_edge.simd_code import Cell, at, emit_fma, returning_nothing, word

_ZERO, _HIDDEN = np.float32(0.0), np.float32(-np.inf)


def _match(queries, blocks):
    """Emit `out = bias + q . k` of `queries` queries and `blocks` blocks of sixteen keys.

    Arguments: address of the first query and bytes between queries, features of a key, address of the keys
    (feature by feature in each block) and bytes of a block, address of the bias and of the result and bytes
    between two queries' rows of both.
    """

    def build(b, query, step, width, keys, block, bias, out, row):
        rows = [Cell(b, at(b, query, b.mul(step, word(q)))) for q in range(queries)]
        places = [Cell(b, at(b, keys, b.mul(block, word(n)))) for n in range(blocks)]
        sums = [[Cell(b, constant(0.0)) for _ in range(blocks)] for _ in range(queries)]
        with cgutils.for_range(b, width):
            loaded = [load(b, place.get(), _FLOATS, 4) for place in places]
            for q in range(queries):
                value = splat(b, load(b, rows[q].get(), _F32, 4))
                for n in range(blocks):
                    sums[q][n].set(emit_fma(b, value, loaded[n], sums[q][n].get()))
                rows[q].move(4)
            for place in places:
                place.move(64)
        for q in range(queries):
            for n in range(blocks):
                offset = b.add(b.mul(row, word(q)), word(64 * n))
                level = load(b, at(b, bias, offset), _FLOATS, 4)
                store(b, at(b, out, offset), b.fadd(sums[q][n].get(), level), 4)

    return returning_nothing(build)


_SIZES = {"float32": 4, "float16": 2, "int8": 1}


def _collect(queries, vectors, kind="float32"):
    """Emit `out += sum over n of weights[n] * values[n]` for `vectors` vectors of `queries` queries.

    Arguments: address of the weights and bytes between queries, how many, address of the values and bytes
    between entries, address of the sums and bytes between queries.
    """

    def build(b, weights, row, count, values, step, out, out_row):
        value = Cell(b, values)
        given = [Cell(b, at(b, weights, b.mul(row, word(q)))) for q in range(queries)]
        targets = [at(b, out, b.mul(out_row, word(q))) for q in range(queries)]
        sums = [
            [Cell(b, load(b, at(b, target, 64 * v), _FLOATS, 4)) for v in range(vectors)]
            for target in targets
        ]
        with cgutils.for_range(b, count):
            places = [at(b, value.get(), LANES * _SIZES[kind] * v) for v in range(vectors)]
            loaded = [load_floats(b, place, kind) for place in places]
            for q in range(queries):
                weight = splat(b, load(b, given[q].get(), _F32, 4))
                for v in range(vectors):
                    sums[q][v].set(emit_fma(b, weight, loaded[v], sums[q][v].get()))
                given[q].move(4)
            value.move(step)
        for q in range(queries):
            for v in range(vectors):
                store(b, at(b, targets[q], 64 * v), sums[q][v].get(), 4)

    return returning_nothing(build)


def _transpose(kind):
    """Emit the transpose of sixteen by sixteen numbers of a kind, which become float32.

    Arguments: address of the first row and bytes between rows; address of the result, vector after vector.
    """

    def build(b, source, row, out):
        rows = [load_floats(b, at(b, source, b.mul(row, word(n))), kind) for n in range(LANES)]
        for step in (8, 4, 2, 1):  # blocks of `step` lanes change places between rows that are `step` apart
            upper = [LANES + n - step if n & step else n for n in range(LANES)]
            lower = [LANES + n if n & step else n + step for n in range(LANES)]
            masks = [ir.Constant(ir.VectorType(_I32, LANES), lanes) for lanes in (upper, lower)]
            for n in range(LANES):
                if not n & step:
                    pair = rows[n], rows[n + step]
                    rows[n], rows[n + step] = (b.shuffle_vector(*pair, mask) for mask in masks)
        for n, vector in enumerate(rows):
            store(b, at(b, out, 64 * n), vector, 4)

    return returning_nothing(build)


_a = types.int64
transpose, transpose_halves, transpose_codes = (
    _operation(_none, (_a,) * 3, _transpose(kind)) for kind in ("float32", "float16", "int8")
)
match_1x4, match_1x1, match_4x4, match_4x1 = (
    _operation(_none, (_a,) * 8, _match(queries, blocks))
    for queries, blocks in ((1, 4), (1, 1), (4, 4), (4, 1))
)
halves_1x2, halves_1x1, codes_1x2, codes_1x1 = (
    _operation(_none, (_a,) * 7, _collect(1, vectors, kind))
    for kind, vectors in (("float16", 2), ("float16", 1), ("int8", 2), ("int8", 1))
)
collect_1x2, collect_1x1, collect_4x2, collect_4x1 = (
    _operation(_none, (_a,) * 7, _collect(queries, vectors))
    for queries, vectors in ((1, 2), (1, 1), (4, 2), (4, 1))
)


@njit(error_model="numpy")
def match(queries, query, step, width, keys, blocks, bias, out, line):
    """Logits of one or four queries against blocks of sixteen keys: `bias + q . k`."""
    size = 64 * width
    while blocks > 0:
        many = blocks >= 4
        if queries == 4:
            if many:
                match_4x4(query, step, width, keys, size, bias, out, line)
            else:
                match_4x1(query, step, width, keys, size, bias, out, line)
        elif many:
            match_1x4(query, step, width, keys, size, bias, out, line)
        else:
            match_1x1(query, step, width, keys, size, bias, out, line)
        done = 4 if many else 1
        keys += done * size
        bias += done * 64
        out += done * 64
        blocks -= done


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
def collect(queries, weights, line, count, values, step, out, out_step, vectors):
    """`out += sum over n of weights[n] * values[n]` for one or four queries."""
    v = 0
    while v < vectors:
        two = vectors - v >= 2
        part, place = values + 64 * v, out + 64 * v
        if queries == 4:
            if two:
                collect_4x2(weights, line, count, part, step, place, out_step)
            else:
                collect_4x1(weights, line, count, part, step, place, out_step)
        elif two:
            collect_1x2(weights, line, count, part, step, place, out_step)
        else:
            collect_1x1(weights, line, count, part, step, place, out_step)
        v += 2 if two else 1


@njit(error_model="numpy")
def clear(address, vectors):
    """Zeros."""
    for v in range(vectors):
        storef(address + 64 * v, splatf(_ZERO))


@njit(error_model="numpy")
def collect_packed(weights, count, values, step, size, out, vectors):
    """`collect` of one query from values of whole vectors of int8 codes (`size` 1) or float16 (2)."""
    v = 0
    while v < vectors:
        two = vectors - v >= 2
        part, place = values + 16 * size * v, out + 64 * v
        if size == 1:
            if two:
                codes_1x2(weights, 0, count, part, step, place, 0)
            else:
                codes_1x1(weights, 0, count, part, step, place, 0)
        elif two:
            halves_1x2(weights, 0, count, part, step, place, 0)
        else:
            halves_1x1(weights, 0, count, part, step, place, 0)
        v += 2 if two else 1
