"""One piece of tokens through the whole model, in one compiled call per thread."""

from __future__ import annotations

import sys

import numpy as np
from numba import njit
from numba.core import types

from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.answer import attend_rows, look_up, read_rows, read_stored
from synapnet_edge.runtime.fast.calls import project, round_rows, word
from synapnet_edge.runtime.fast.embed import embed_rows
from synapnet_edge.runtime.fast.remember import write_chunk
from synapnet_edge.runtime.fast.stages import (
    convolve,
    gate_rows,
    inner_product,
    linear,
    log_sigmoid,
    mix,
    normalise,
    quantise,
    silu_rows,
)
from synapnet_edge.simd import (
    add,
    fetch_add,
    get_shared,
    getf,
    getw,
    invoke4,
    invoke6,
    invoke7,
    invoke9,
    invoke10,
    invoke14,
    loadf,
    setf,
    seti,
    splatf,
    storef,
)

_HIDDEN, _ZERO, _HALF = np.float32(-np.inf), np.float32(0.0), np.float32(0.5)
_ONE = np.int32(1)
_PATIENCE = 2000


def _entry(arguments):
    return f"void({', '.join(['int64'] * arguments)})"


_give_way = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


@njit(error_model="numpy")
def wait(address, threads):
    """Barrier: return when all threads have come here. Spins, and gives way to others after a while."""
    if threads == 1:
        return
    turn = get_shared(address + 64)
    if fetch_add(address, _ONE) == threads - 1:
        seti(address, np.int32(0))
        fetch_add(address + 64, _ONE)
        return
    patience = _PATIENCE
    while get_shared(address + 64) == turn:
        patience -= 1
        if patience < 0:
            _give_way()


@njit(error_model="numpy")
def bind_rows(model, layer, space, mine, inputs, first, last):
    """First part of a layer: norm, and the projections before the convolution."""
    dim, d_step, i_step = word(model, t.DIM), word(space, t.D_STEP), word(space, t.I_STEP)
    x, normed, all_vectors = word(space, t.X), word(space, t.NORMED), word(model, t.DIM_PAD) >> 4
    for token in range(first, last):
        normalise(x + token * d_step, dim, normed + token * d_step, word(layer, t.W_NORM), all_vectors)
    round_rows(layer, t.QUANTIZE_NORMED, first, last, space, normed, d_step, dim)
    project(layer, t.IN, first, last, space, mine, normed, d_step, inputs, i_step)
    if word(model, t.USE_SSM):
        project(layer, t.GATE, first, last, space, mine, normed, d_step, word(space, t.GATED), i_step)


@njit(error_model="numpy")
def look_rows(model, layer, stream, own, space, mine, inputs, ids, first, last):
    """Second part: convolution, salience, the SSM's output, and queries, keys and values of the lookups."""
    i_step, d_step = word(space, t.I_STEP), word(space, t.D_STEP)
    inner, vectors = word(model, t.INNER), word(model, t.INNER_PAD) >> 4
    bound, looked, fill = word(space, t.BOUND), word(space, t.LOOKED), word(stream, t.FILL)
    convolve(
        first, last, inputs, i_step, word(own, t.TAIL), word(model, t.TAPS),
        word(layer, t.CONV), word(layer, t.CONV_BIAS), vectors, bound,
    )  # fmt: skip
    if word(model, t.USE_PRECONV):
        looked = bound
    else:
        silu_rows(first, last, inputs, i_step, vectors, looked)
    if word(model, t.USE_SSM):
        gated = word(space, t.GATED)
        gate_rows(first, last, bound, gated, i_step, vectors)
        round_rows(layer, t.QUANTIZE_GATED, first, last, space, gated, i_step, inner)
        project(layer, t.OUT, first, last, space, mine, gated, i_step, word(space, t.PATHS), d_step)
    bias, gain = getf(word(layer, t.SALIENCE_BIAS)), getf(word(layer, t.PRIOR_GAIN))
    for token in range(first, last):
        level = inner_product(looked + token * i_step, word(layer, t.SALIENCE), vectors)
        prior = getf(word(model, t.PRIOR) + 4 * getw(ids + 8 * token))
        setf(word(own, t.LOG_SALIENCE) + 4 * (fill + token), log_sigmoid(level + bias + gain * prior))
    round_rows(layer, t.QUANTIZE_LOOKED, first, last, space, looked, i_step, inner)
    if word(model, t.USE_ATTENTION):
        invoke14(
            word(space, t.LOOK_UP), model, layer, stream, own, space, mine, looked, first, last,
            t.A_QUERY, t.A_KEYS, t.A_SHARPNESS, -1, word(space, t.QUERY_A),
        )  # fmt: skip
    if word(model, t.USE_MEMORY):
        invoke14(
            word(space, t.LOOK_UP), model, layer, stream, own, space, mine, looked, first, last,
            t.M_QUERY, t.M_KEYS, t.M_SHARPNESS, t.M_SSMAX, word(space, t.QUERY_M),
        )  # fmt: skip


@njit(error_model="numpy")
def answer_rows(model, layer, stream, own, space, mine, thread, first, last):
    """Third part: what the lookups find, the bridge, and the feed-forward."""
    dim, d_step, size = word(model, t.DIM), word(space, t.D_STEP), word(space, t.PIECE)
    found = word(space, t.PROJECTED)
    all_vectors = word(model, t.DIM_PAD) >> 4
    for token in range(first, last):
        for v in range(dim >> 4, all_vectors):
            storef(found + token * d_step + 64 * v, splatf(_ZERO))
    path = word(space, t.PATHS) + (size * d_step if word(model, t.USE_SSM) else 0)
    if word(model, t.USE_ATTENTION):
        invoke7(word(space, t.ATTEND), model, stream, own, space, mine, first, last)
        round_rows(layer, t.QUANTIZE_ATTENDED, first, last, space, found, d_step, dim)
        project(layer, t.A_OUT, first, last, space, mine, found, d_step, path, d_step)
        path += size * d_step
    if word(model, t.USE_MEMORY):
        reading = word(space, t.READ_STORED) if word(own, t.S_PARTS) else word(space, t.READ)
        invoke9(reading, model, layer, stream, own, space, mine, thread, first, last)
        round_rows(layer, t.QUANTIZE_READ, first, last, space, found, d_step, dim)
        project(layer, t.M_OUT, first, last, space, mine, found, d_step, path, d_step)
    x, normed, hidden = word(space, t.X), word(space, t.NORMED), word(space, t.HIDDEN)
    mix(
        first, last, x, d_step, all_vectors, normed, word(space, t.PATHS), size * d_step,
        word(model, t.PATHWAYS), word(layer, t.B_GAIN), word(layer, t.B_BIAS), word(layer, t.B_GATE),
    )  # fmt: skip
    for token in range(first, last):
        normalise(x + token * d_step, dim, normed + token * d_step, word(layer, t.W_FF_NORM), all_vectors)
    round_rows(layer, t.QUANTIZE_FF, first, last, space, normed, d_step, dim)
    f_step, f_size = word(space, t.F_STEP), word(model, t.FF_PAD)
    project(layer, t.UP, first, last, space, mine, normed, d_step, hidden, f_step)
    silu_rows(first, last, hidden, f_step, f_size >> 4, hidden)
    round_rows(layer, t.QUANTIZE_HIDDEN, first, last, space, hidden, f_step, f_size)
    project(layer, t.DOWN, first, last, space, mine, hidden, f_step, found, d_step)
    for token in range(first, last):
        for v in range(all_vectors):
            at = token * d_step + 64 * v
            storef(x + at, add(loadf(x + at), loadf(found + at)))


@njit(error_model="numpy")
def keep_tail(model, own, space, inputs, tokens):
    """Remember the last inputs of the convolution."""
    rows, i_step, tail = word(model, t.TAPS) - 1, word(space, t.I_STEP), word(own, t.TAIL)
    vectors = word(model, t.INNER_PAD) >> 4
    for row in range(rows):
        at = tokens - rows + row
        source = inputs + at * i_step if at >= 0 else tail + (rows + at) * i_step
        for v in range(vectors):
            storef(tail + row * i_step + 64 * v, loadf(source + 64 * v))


@njit(error_model="numpy")
def head_rows(words, rounds, size, space, hidden, first, last, out):
    """Logits of the normalised states first..last, from address `out` on."""
    d_step, out_step = word(space, t.D_STEP), 256 * word(words, t.BLOCKS)
    if rounds:
        invoke10(
            word(space, t.QUANTISE), first, last, hidden, d_step, size, word(space, t.ROUNDED),
            word(space, t.R_STEP), word(space, t.X_SCALES), word(space, t.X_SUMS), word(space, t.G_STEP),
        )  # fmt: skip
    mine = word(space, t.THREADS)
    invoke14(
        word(space, t.LINEAR), words, first, last, hidden, d_step,
        word(space, t.ROUNDED), word(space, t.R_STEP), word(space, t.X_SCALES), word(space, t.X_SUMS),
        word(space, t.G_STEP), out - first * out_step, out_step, word(mine, t.UNPACKED), word(mine, t.STARTS),
    )  # fmt: skip


@njit(_entry(10), error_model="numpy", nogil=True, cache=True)
def run(model, stream, space, ids, tokens, out, thread, threads, rounds, logits):
    """Process a piece of the open chunk; every thread of `threads` calls this with its number.

    Parameters
    ----------
    model, stream, space : addresses of tables
        See `table`.
    ids, tokens : address of int64 token ids, and how many; they must fit in the open chunk.
    out : address
        [tokens, padded dim] float32, normalised hidden states.
    rounds, logits : whether the head's input is rounded to int8, and the address of the last token's logits
        (0: none wanted).
    """
    fill, dim, d_step = word(stream, t.FILL), word(model, t.DIM), word(space, t.D_STEP)
    first, last = tokens * thread // threads, tokens * (thread + 1) // threads
    mine = word(space, t.THREADS) + 8 * t.THREAD_WORDS * thread
    i_size = word(space, t.I_STEP) * word(space, t.PIECE)
    invoke6(word(space, t.EMBED), model, space, ids, first, last, fill)
    for index in range(word(model, t.DEPTH)):
        layer = word(model, t.LAYERS) + 8 * t.LAYER_WORDS * index
        own = word(stream, t.STREAM_LAYERS) + 8 * t.STREAM_LAYER_WORDS * index
        # Two buffers in turn: a thread may be a layer ahead of one that still reads its neighbours' inputs.
        inputs = word(space, t.INPUTS) + (index & 1) * i_size
        bind_rows(model, layer, space, mine, inputs, first, last)
        wait(word(space, t.WAIT), threads)
        look_rows(model, layer, stream, own, space, mine, inputs, ids, first, last)
        wait(word(space, t.WAIT), threads)
        if thread == 0:
            keep_tail(model, own, space, inputs, tokens)
        answer_rows(model, layer, stream, own, space, mine, thread, first, last)
    for token in range(first, last):
        row = token * d_step
        normalise(word(space, t.X) + row, dim, out + row, word(model, t.NORM), word(model, t.DIM_PAD) >> 4)
    wait(word(space, t.WAIT), threads)
    if logits != 0 and thread == 0:
        head_rows(word(model, t.HEAD), rounds, dim, space, out, tokens - 1, tokens, logits)
    if fill + tokens == word(stream, t.CHUNK) and word(stream, t.OWN_STORE) and word(model, t.USE_MEMORY):
        for index in range(thread, word(model, t.DEPTH), threads):
            own = word(stream, t.STREAM_LAYERS) + 8 * t.STREAM_LAYER_WORDS * index
            invoke4(word(space, t.WRITE), model, stream, own, mine)


@njit(_entry(7), error_model="numpy", nogil=True, cache=True)
def read_out(words, rounds, size, space, hidden, tokens, out):
    """Logits of normalised states.

    Parameters
    ----------
    words : address of the head's table; `rounds`: whether its input is rounded to int8.
    size : input features.
    space, hidden, tokens, out : as in `run`; `out` is [tokens, 64 blocks] float32.
    """
    head_rows(words, rounds, size, space, hidden, 0, tokens, out)


#: Place in a work space's table -> address of the kernel that is called from there.
KERNELS = {
    t.LINEAR: linear.address,
    t.QUANTISE: quantise.address,
    t.EMBED: embed_rows.address,
    t.LOOK_UP: look_up.address,
    t.ATTEND: attend_rows.address,
    t.READ: read_rows.address,
    t.READ_STORED: read_stored.address,
    t.WRITE: write_chunk.address,
}
