"""Lookups of a layer for a range of tokens: what is asked, stored and found, on the level of tables."""

from __future__ import annotations

import numpy as np

from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.calls import project, word
from synapnet_edge.runtime.fast.lookup import (
    attend,
    chunk_bias,
    open_bias,
    place_entry,
    place_queries,
    rank,
    read_memory,
    read_open,
)
from synapnet_edge.simd import getf, invoke19, kernel, loadf, setf, storef

_ZERO = np.float32(0.0)


@kernel(14)
def look_up(
    model, layer, stream, own, space, mine, looked, first, last, projections, keys, sharpness, growth, queries
):
    """Queries, and keys and values appended to the open chunk, of one kind of lookup.

    `projections` is the place of the query's weight (key and value follow), `keys` that of the chunk's keys
    (values follow); a memory has a `growth` of its scale, an attention -1.
    """
    heads, width, vectors = word(model, t.HEADS), word(model, t.WIDTH), word(model, t.WIDTH_PAD) >> 4
    i_step, d_step, fill = word(space, t.I_STEP), word(space, t.D_STEP), word(stream, t.FILL)
    blocks, projected, size = (
        (word(stream, t.CHUNK) + 15) >> 4,
        word(space, t.PROJECTED),
        word(space, t.PIECE),
    )
    for part in range(3):
        target = projected + part * size * d_step
        project(layer, projections + part, first, last, space, mine, looked, i_step, target, d_step)
    memory, grows = growth >= 0, 0
    stored = _ZERO
    if memory:
        stored = getf(word(own, t.S_COUNT))
        if word(model, t.USE_SSMAX):
            grows = word(layer, growth)
    for token in range(first, last):
        row = projected + token * d_step
        seen = np.float32(fill + token) + stored
        place_queries(
            row, heads, width, vectors, word(layer, sharpness), grows, seen, memory,
            queries + token * word(space, t.Q_STEP),
        )  # fmt: skip
        place_entry(
            row + size * d_step, row + 2 * size * d_step, heads, width, vectors, blocks,
            word(own, keys), word(own, keys + 1), fill + token, memory, word(mine, t.ACC),
        )  # fmt: skip


@kernel(7)
def attend_rows(model, stream, own, space, mine, first, last):
    """The attention's answers for tokens first..last, where `project` finds them."""
    heads, width, vectors = word(model, t.HEADS), word(model, t.WIDTH), word(model, t.WIDTH_PAD) >> 4
    room, fill, line = (word(stream, t.CHUNK) + 15) >> 4, word(stream, t.FILL), word(mine, t.LINE)
    d_step, q_step = word(space, t.D_STEP), word(space, t.Q_STEP)
    bias, salience, ranks = word(mine, t.BIAS), word(own, t.LOG_SALIENCE), word(mine, t.RANKS)
    block, top_k = word(model, t.BLOCK), word(model, t.TOP_K)
    token, ranked = first, 0
    while token < last:
        queries = 4 if last - token >= 4 else 1
        at = fill + token + queries - 1
        for q in range(queries):
            local = ((fill + token + q) // block - 1) * block
            if local > top_k and local != ranked:
                rank(salience, local, word(mine, t.PADDED), ranks)
                ranked = local
            chunk_bias(fill + token + q, local, top_k, (at + 16) >> 4, salience, ranks, bias + q * line)
        attend(
            queries, at, heads, width, vectors, word(space, t.QUERY_A) + token * q_step, q_step,
            word(own, t.A_KEYS), word(own, t.A_VALUES), room, bias, word(mine, t.LOGITS), line,
            word(mine, t.ACC), word(space, t.PROJECTED) + token * d_step, d_step,
        )  # fmt: skip
        token += queries


@kernel(9)
def read_rows(model, layer, stream, own, space, mine, thread, first, last):
    """The memory's answers for tokens first..last, where `project` finds them."""
    heads, width, vectors = word(model, t.HEADS), word(model, t.WIDTH), word(model, t.WIDTH_PAD) >> 4
    room, fill, line = (word(stream, t.CHUNK) + 15) >> 4, word(stream, t.FILL), word(mine, t.LINE)
    d_step, q_step = word(space, t.D_STEP), word(space, t.Q_STEP)
    bias, salience, stored = word(mine, t.BIAS), word(own, t.LOG_SALIENCE), word(own, t.S_ENTRIES)
    s_blocks, mass = (stored + 15) >> 4, word(own, t.MASS)
    if mass:
        mass += thread * word(own, t.MASS_STEP)
    for q in range(4 if last - first >= 4 else 1):
        for v in range(s_blocks):
            storef(bias + q * line + 64 * v, loadf(word(own, t.S_BIAS) + 64 * v))
    opened, token = bias + 64 * s_blocks, first
    while token < last:
        queries = 4 if last - token >= 4 else 1
        at = fill + token + queries - 1
        open_bias(queries, at, salience, opened, line)
        read_memory(
            queries, at, heads, width, vectors, word(space, t.QUERY_M) + token * q_step, q_step,
            word(own, t.M_KEYS), word(own, t.M_VALUES), room, bias, word(mine, t.LOGITS), line,
            word(mine, t.ACC), word(space, t.PROJECTED) + token * d_step, d_step,
            word(own, t.S_KEYS), word(own, t.S_VALUES), s_blocks, word(own, t.S_ROOM), stored, mass,
            word(layer, t.M_NULL), word(layer, t.M_FOUND),
        )  # fmt: skip
        token += queries


@kernel(9)
def read_stored(model, layer, stream, own, space, mine, thread, first, last):
    """As `read_rows`, where the entries are a store's: they are read in its formats, and not copied."""
    heads, width, vectors = word(model, t.HEADS), word(model, t.WIDTH), word(model, t.WIDTH_PAD) >> 4
    room, fill, line = (word(stream, t.CHUNK) + 15) >> 4, word(stream, t.FILL), word(mine, t.LINE)
    d_step, q_step, row = word(space, t.D_STEP), word(space, t.Q_STEP), 64 * vectors
    bias, salience, tokens = word(mine, t.BIAS), word(own, t.LOG_SALIENCE), last - first
    tops = word(mine, t.TOPS)
    sums = tops + 4 * heads * tokens
    query = word(space, t.QUERY_M) + first * q_step
    read = word(space, t.QUERY_A) + first * q_step  # the attention is done with its queries
    token = first
    while token < last:
        queries = 4 if last - token >= 4 else 1
        at = fill + token + queries - 1
        open_bias(queries, at, salience, bias, line)
        done = token - first
        read_open(
            queries, at, heads, width, vectors, query + done * q_step, q_step,
            word(own, t.M_KEYS), word(own, t.M_VALUES), room, bias, word(mine, t.LOGITS), line,
            word(mine, t.ACC), read + done * q_step, tops + 4 * done, sums + 4 * done, tokens,
            word(layer, t.M_NULL),
        )  # fmt: skip
        token += queries
    mass = word(own, t.MASS)
    if mass:
        mass += thread * word(own, t.MASS_STEP)
    kept = word(own, t.S_KEPT) if tokens == 1 else 0
    invoke19(
        word(space, t.ENTRIES), query, row, q_step, 0, heads, heads, tokens, width,
        word(own, t.S_PARTS), word(own, t.S_PART_COUNT), word(own, t.S_BIAS), tops, sums,
        read, row, q_step, mass, kept, word(mine, t.TILE),
    )  # fmt: skip
    for done in range(tokens):
        for head in range(heads):
            place = word(space, t.PROJECTED) + (first + done) * d_step + 4 * head * width
            for v in range(vectors):
                storef(place + 64 * v, loadf(read + done * q_step + head * row + 64 * v))
            last_feature = place + 4 * (width - 1)
            setf(last_feature, getf(last_feature) * getf(word(layer, t.M_FOUND) + 4 * head))
