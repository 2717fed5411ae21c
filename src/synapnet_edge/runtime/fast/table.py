"""Where things stand in the tables of addresses and sizes that the kernels read (words of int64).

A table instead of arguments: the whole step is one call, and Numba passes an array view as seven arguments.
"""

from __future__ import annotations

# A packed weight.
KIND, BLOCKS, GROUPS, CODES, SCALES, SCALE_STEP, SCALE_BLOCK, ZEROS, ZERO_STEP, ZERO_BLOCK = range(10)
LINEAR_WORDS = 10
#: `KIND` is the bits of a code, or one of these.
HALF, NOTHING = 16, 0

# A model: sizes, then addresses of single tensors, then a table for each layer.
(
    DIM, DIM_PAD, INNER, INNER_PAD, FF_PAD, HEADS, WIDTH, WIDTH_PAD, DEPTH, TAPS,
    BLOCK, TOP_K, PATHWAYS, USE_SSM, USE_ATTENTION, USE_MEMORY, USE_BRIDGE, USE_SSMAX, USE_PRECONV,
    VOCABULARY, PRIOR, NORM, EMBEDDING, POSITIONS, HEAD, LAYERS,
) = range(26)  # fmt: skip
MODEL_WORDS = 26

# A layer of the model: addresses of the tables of its packed weights, and of its float32 tensors.
(
    IN, GATE, OUT, A_QUERY, A_KEY, A_VALUE, A_OUT, M_QUERY, M_KEY, M_VALUE, M_OUT, UP, DOWN,
    W_NORM, W_FF_NORM, CONV, CONV_BIAS, SALIENCE, SALIENCE_BIAS, PRIOR_GAIN,
    A_SHARPNESS, M_SHARPNESS, M_SSMAX, M_NULL, M_FOUND, B_GAIN, B_BIAS, B_GATE,
    QUANTIZE_NORMED, QUANTIZE_LOOKED, QUANTIZE_GATED, QUANTIZE_ATTENDED, QUANTIZE_READ, QUANTIZE_FF,
    QUANTIZE_HIDDEN,
) = range(35)  # fmt: skip
LAYER_WORDS = 35

# A stream: counters, then a table for each layer.
(FILL, TOKENS, CHUNK, SLOTS, CAPACITY, OWN_STORE, ENTRY_INT8, STREAM_LAYERS) = range(8)
STREAM_WORDS = 8

# A layer of a stream.
(
    TAIL, A_KEYS, A_VALUES, M_KEYS, M_VALUES, LOG_SALIENCE,
    S_KEYS, S_VALUES, S_BIAS, S_POSITIONS, S_ENTRIES, S_ROOM, S_COUNT, MASS, MASS_STEP,
    S_PARTS, S_PART_COUNT, S_KEPT,  # blocks of a store that are read in place (0: none), room for logits
) = range(18)  # fmt: skip
STREAM_LAYER_WORDS = 18

# A work space: buffers for all tokens of a piece and the bytes of one token in them, then one table a thread.
(
    X, NORMED, INPUTS, BOUND, LOOKED, GATED, QUERY_A, QUERY_M, PATHS, HIDDEN, PROJECTED,
    ROUNDED, X_SCALES, X_SUMS, WAIT, D_STEP, I_STEP, F_STEP, Q_STEP, R_STEP, G_STEP, PIECE, THREADS,
    # addresses of the kernels
    LINEAR, QUANTISE, EMBED, LOOK_UP, ATTEND, READ, READ_STORED, ENTRIES, WRITE,
    TRACE,  # 0, or the address of an address to which rounded activations are copied (tests)
) = range(33)  # fmt: skip
SPACE_WORDS = 33
# `LOGITS`, `BIAS` and `ACC` have room for four queries; `LINE` is the bytes of one in the first two.
(UNPACKED, STARTS, LOGITS, BIAS, PADDED, RANKS, ACC, LINE, TOPS, TILE) = range(10)
THREAD_WORDS = 10
