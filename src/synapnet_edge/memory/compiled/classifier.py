"""The retention classifier over stored columns: one pass from an entry's counters to its score."""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synapnet_edge.memory.compiled.addresses import at, copy_bytes
from synapnet_edge.simd import (
    LANES,
    add,
    addi,
    andi,
    bits,
    div,
    fma,
    from_bits,
    gather_half,
    getf,
    load_half,
    loadf,
    loadi,
    maximum,
    mul,
    shr,
    splatf,
    splati,
    spreadf,
    storef,
    sub,
    subi,
    to_float,
)

_ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0))
# Of a float32: the bits of its mantissa, their number, and the bias of its exponent; the bits of the root of
# 1/2 and what is missing to those of 1.
_MANTISSA, _WIDTH, _BIAS = np.int32(0x007FFFFF), np.int32(23), np.int32(127)
_ROOT, _TO_ONE = np.int32(0x3F3504F3), np.int32(0x3F800000 - 0x3F3504F3)
# ln 2 in two parts, and the minimax coefficients of log in FreeBSD's e_logf.c.
_LN2_HIGH, _LN2_LOW = np.float32(6.9313812256e-01), np.float32(9.0580006145e-06)
_C1, _C2, _C3, _C4 = (np.float32(c) for c in (0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841))


@njit(error_model="numpy")
def log(x):
    """log(x) of sixteen normal float32 x > 0, to 1 ulp.

    x = 2^n m with m between the roots of 1/2 and 2; log m by a series in s = (m - 1) / (m + 1).
    """
    shifted = addi(bits(x), splati(_TO_ONE))
    n = to_float(subi(shr(shifted, splati(_WIDTH)), splati(_BIAS)))
    f = sub(from_bits(addi(andi(shifted, splati(_MANTISSA)), splati(_ROOT))), splatf(_ONE))
    s = div(f, add(f, splatf(_TWO)))
    z = mul(s, s)
    w = mul(z, z)
    odd, even = fma(w, splatf(_C3), splatf(_C1)), fma(w, splatf(_C4), splatf(_C2))
    square = mul(mul(f, f), splatf(_HALF))
    rest = fma(s, fma(z, odd, fma(w, even, square)), mul(n, splatf(_LN2_LOW)))
    return fma(n, splatf(_LN2_HIGH), add(f, sub(rest, square)))


@njit(error_model="numpy")
def log1p(x):
    """log(1 + x) of sixteen float32 x >= 0: what the rounding of 1 + x loses is made up for."""
    y = add(x, splatf(_ONE))
    return add(log(y), div(sub(x, sub(y, splatf(_ONE))), y))


@njit(error_model="numpy")
def _fold(first, inputs, hidden, mean, deviation, fraction, folded):
    """Weights of log-salience, log-age and log-mass and what is added to them, four float32 a hidden unit.

    The features' statistics and the layer's depth are the same for all entries of a row.
    """
    first = carray(at(first), (hidden, inputs), np.float32)
    mean, deviation = carray(at(mean), 4, np.float32), carray(at(deviation), 4, np.float32)
    folded = carray(at(folded), (hidden, 4), np.float32)
    for j in range(hidden):
        shift = (fraction - mean[3]) * (first[j, inputs - 1] / deviation[3])
        for f in range(3):
            folded[j, f] = first[j, inputs - 4 + f] / deviation[f]
            shift -= mean[f] * folded[j, f]
        folded[j, 3] = shift


@njit(error_model="numpy")
def _direct(direct, mean, deviation, fraction):
    """Factor of the log-salience and what is added to it, float32: the score's part beside the MLP."""
    direct = carray(at(direct), 2, np.float32)
    mean, deviation = carray(at(mean), 4, np.float32), carray(at(deviation), 4, np.float32)
    gain = (direct[0] + direct[1] * fraction) / deviation[0]
    return gain, -mean[0] * gain


@njit(f"void({', '.join(['int64'] * 20)})", error_model="numpy", cache=True)
def rank(
    log_salience, written, mass, note, layers, batch, entries, step, first, mean, deviation, second,
    second_bias, third, third_bias, direct, inputs, hidden, scores, line,
):  # fmt: skip
    """Scores of all entries by `RetentionClassifier.rank`, in float32.

    Parameters
    ----------
    log_salience, written, mass : addresses of [L, B, N] float16, int32, float32
    note : address of [L, B, N, h] float16
        What the first layer makes of the values.
    layers, batch, entries : L, B, N
    step : chunk that is finished.
    first : address of [h, inputs] float32
        The first layer; its last four columns weigh the scalar features.
    mean, deviation : addresses of [4] float32
        Statistics of the features.
    second, second_bias, third, third_bias : addresses of [h, h], [h], [1, h] and [1] float32
        Layers behind the first.
    direct : address of [2] float32
        Gain of the log-salience itself in the first layer, and what depth adds to it.
    inputs, hidden : the first layer's inputs, and h
    scores, line : address of [L, B, line] float64
        Result: the first N of each row.
    """
    space = np.empty(4 * 64 + (64 + 32 + 16) * hidden, np.uint8)
    sums = space.ctypes.data
    tail = sums + 64
    units = tail + 3 * 64 + 32 * hidden  # a vector for each hidden unit: entries are lanes
    folded = units + 64 * hidden
    for row in range(layers * batch):
        fraction = np.float32(row // batch) / np.float32(max(1, layers - 1))
        _fold(first, inputs, hidden, mean, deviation, fraction, folded)
        gain, shift = _direct(direct, mean, deviation, fraction)
        space[0] = 0  # holds it: a name that is not used again is freed
        result = carray(at(scores + 8 * row * line), entries, np.float64)
        for start in range(0, entries, LANES):
            place, count = row * entries + start, min(LANES, entries - start)
            s, w, m = log_salience + 2 * place, written + 4 * place, mass + 4 * place
            n = note + 2 * hidden * place
            if count < LANES:  # vectors are read whole
                copy_bytes(tail, s, 2 * count)
                copy_bytes(tail + 64, w, 4 * count)
                copy_bytes(tail + 128, m, 4 * count)
                copy_bytes(tail + 192, n, 2 * hidden * count)
                s, w, m, n = tail, tail + 64, tail + 128, tail + 192
            salience, read = load_half(s), log1p(loadf(m))
            age = log(to_float(subi(splati(np.int32(step + 1)), loadi(w))))  # 1 + age is exact
            for j in range(hidden):
                own = folded + 16 * j
                x = add(gather_half(n + 2 * j, 2 * hidden), spreadf(own + 12))
                x = fma(salience, spreadf(own), fma(age, spreadf(own + 4), fma(read, spreadf(own + 8), x)))
                storef(units + 64 * j, maximum(x, splatf(_ZERO)))
            out = fma(salience, splatf(gain), add(spreadf(third_bias), splatf(shift)))
            for k in range(hidden):
                x = spreadf(second_bias + 4 * k)
                for j in range(hidden):
                    x = fma(loadf(units + 64 * j), spreadf(second + 4 * (k * hidden + j)), x)
                out = fma(maximum(x, splatf(_ZERO)), spreadf(third + 4 * k), out)
            storef(sums, out)
            for i in range(count):
                result[start + i] = getf(sums + 4 * i)
