"""The parts of a layer that treat every token alone: norms, rounding of activations, linear layers, gates."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from synapnet_edge.runtime.fast import products as p
from synapnet_edge.runtime.fast.table import (
    BLOCKS,
    CODES,
    GROUPS,
    HALF,
    KIND,
    SCALE_BLOCK,
    SCALE_STEP,
    SCALES,
    ZERO_BLOCK,
    ZERO_STEP,
    ZEROS,
)
from synapnet_edge.simd import (
    above,
    absolute,
    add,
    addi,
    fma,
    getw,
    kernel,
    lane_numbers,
    largest,
    loadf,
    maximum,
    mul,
    rounded,
    setf,
    sigmoid,
    splatf,
    splati,
    store_bytes,
    storef,
    sub,
    to_float,
    total,
    totali,
)

_EPS, _LEVELS, _TINY = np.float32(1e-5), np.float32(127.0), np.float32(1e-30)
_ZERO, _ONE, _TWO, _NONE = np.float32(0.0), np.float32(1.0), np.float32(2.0), np.int32(0)


@njit(error_model="numpy")
def normalise(source, size, out, weight, room):
    """Layer norm of `size` floats into `room` vectors; lanes behind the end become 0. `weight` 0: none."""
    vectors = (size + 15) >> 4
    end = np.float32(size - 16 * (vectors - 1))
    last = to_float(above(splatf(end), lane_numbers()))
    inverse = _ONE / np.float32(size)
    sums = splatf(_ZERO)
    for v in range(vectors):
        x = loadf(source + 64 * v)
        sums = add(sums, mul(x, last) if v == vectors - 1 else x)
    mean = splatf(total(sums) * inverse)
    sums = splatf(_ZERO)
    for v in range(vectors):
        x = sub(loadf(source + 64 * v), mean)
        x = mul(x, last) if v == vectors - 1 else x
        sums = fma(x, x, sums)
        storef(out + 64 * v, x)
    scale = splatf(_ONE / np.float32(math.sqrt(total(sums) * inverse + _EPS)))
    for v in range(vectors):
        x = mul(loadf(out + 64 * v), scale)
        storef(out + 64 * v, mul(x, loadf(weight + 64 * v)) if weight != 0 else x)
    for v in range(vectors, room):
        storef(out + 64 * v, splatf(_ZERO))


@kernel(10)
def quantise(first, last, x, x_step, size, codes, code_step, scales, sums, group_step):
    """Round tokens to int8, one scale per token and 64 features; stores codes and scales.

    Several tokens get codes with the offset that tile products want; a single one gets plain int8 codes, and
    their sums, which its products want.
    """
    alone = last - first == 1
    offset = splati(np.int32(0 if alone else p.dots.ACTIVATION_OFFSET))
    for t in range(first, last):
        source, target = x + t * x_step, codes + t * code_step
        for g in range((size + 63) >> 6):
            x0, x1, x2, x3 = loadf(source), loadf(source + 64), loadf(source + 128), loadf(source + 192)
            top = largest(maximum(maximum(absolute(x0), absolute(x1)), maximum(absolute(x2), absolute(x3))))
            scale, inverse = _ZERO, _ZERO
            if top > _TINY:
                scale, inverse = top / _LEVELS, _LEVELS / top
            factor = splatf(inverse)
            c0, c1 = rounded(mul(x0, factor)), rounded(mul(x1, factor))
            c2, c3 = rounded(mul(x2, factor)), rounded(mul(x3, factor))
            store_bytes(target, addi(c0, offset))
            store_bytes(target + 16, addi(c1, offset))
            store_bytes(target + 32, addi(c2, offset))
            store_bytes(target + 48, addi(c3, offset))
            setf(scales + t * group_step + 4 * g, scale)
            if alone:
                setf(sums + t * group_step + 4 * g, np.float32(totali(addi(addi(c0, c1), addi(c2, c3)))))
            source += 256
            target += 64


@njit(error_model="numpy")
def tiles(halved, w, groups, s, s_step, starts, first, last, xq, xq_step, xs, xs_step, out, out_step):
    """All tokens by one unpacked block, in tiles of six and four tokens and single ones."""
    t = first
    while t < last:
        left = last - t
        codes, scales, place = xq + t * xq_step, xs + t * xs_step, out + t * out_step
        if left >= 6 and left != 8:
            if halved:
                p.tile6_halved(w, groups, s, s_step, starts, codes, xq_step, scales, xs_step, place, out_step)
            else:
                p.tile6(w, groups, s, s_step, starts, codes, xq_step, scales, xs_step, place, out_step)
            t += 6
        elif left >= 4:
            if halved:
                p.tile4_halved(w, groups, s, s_step, starts, codes, xq_step, scales, xs_step, place, out_step)
            else:
                p.tile4(w, groups, s, s_step, starts, codes, xq_step, scales, xs_step, place, out_step)
            t += 4
        else:
            if halved:
                p.tile1_halved(w, groups, s, s_step, starts, codes, xq_step, scales, xs_step, place, out_step)
            else:
                p.tile1(w, groups, s, s_step, starts, codes, xq_step, scales, xs_step, place, out_step)
            t += 1


@kernel(14)
def linear(
    words, first, last, x, x_step, codes, code_step, scales, sums, group_step, out, out_step, unpacked, starts
):
    """Multiply tokens first..last by the packed weight at `words`: from int8 codes, or from `x` at FP16."""
    if first >= last:
        return
    kind, blocks, groups = getw(words + 8 * KIND), getw(words + 8 * BLOCKS), getw(words + 8 * GROUPS)
    w, s, s_step = getw(words + 8 * CODES), getw(words + 8 * SCALES), getw(words + 8 * SCALE_STEP)
    z, z_step = getw(words + 8 * ZEROS), getw(words + 8 * ZERO_STEP)
    if kind == HALF:
        for _ in range(blocks):
            t = first
            while last - t >= 6 and last - t != 8:
                p.float_tile6(w, groups, x + t * x_step, x_step, out + t * out_step, out_step)
                t += 6
            while last - t >= 4:
                p.float_tile4(w, groups, x + t * x_step, x_step, out + t * out_step, out_step)
                t += 4
            while t < last:
                p.row_product16(w, groups, x + t * x_step, out + t * out_step)
                t += 1
            w += 128 * groups
            out += 256
        return
    size = 512 * kind * groups  # bytes of a block's codes
    s_block, z_block = getw(words + 8 * SCALE_BLOCK), getw(words + 8 * ZERO_BLOCK)
    if last - first == 1:
        xq, xs, xm = codes + first * code_step, scales + first * group_step, sums + first * group_step
        place = out + first * out_step
        for _ in range(blocks):
            if kind == 4:
                p.row_product4(w, groups, s, s_step, z, z_step, xq, xs, xm, place)
            elif kind == 2:
                p.row_product2(w, groups, s, s_step, z, z_step, xq, xs, xm, place)
            else:
                p.row_product8(w, groups, s, s_step, z, z_step, xq, xs, xm, place)
            w += size
            s += s_block
            z += z_block
            place += 256
        return
    for _ in range(blocks):
        for g in range(groups):
            source, zeros = w + 512 * kind * g, z + z_step * g
            if kind == 4:
                p.unpack4(source, zeros, unpacked + 4096 * g, starts + 256 * g)
            elif kind == 2:
                p.unpack2(source, zeros, unpacked + 4096 * g, starts + 256 * g)
            else:
                p.unpack8(source, zeros, unpacked + 4096 * g, starts + 256 * g)
        tiles(
            kind == 2,
            unpacked,
            groups,
            s,
            s_step,
            starts,
            first,
            last,
            codes,
            code_step,
            scales,
            group_step,
            out,
            out_step,
        )
        w += size
        s += s_block
        z += z_block
        out += 256


@njit(error_model="numpy")
def inner_product(a, b, vectors):
    """Sum of products of two padded rows of floats."""
    sums = splatf(_ZERO)
    for v in range(vectors):
        sums = fma(loadf(a + 64 * v), loadf(b + 64 * v), sums)
    return total(sums)


@njit(error_model="numpy")
def convolve(first, last, inputs, step, tail, taps, weight, bias, vectors, out):
    """`silu` of the causal depthwise convolution; `tail` holds the inputs before the piece, oldest first."""
    for t in range(first, last):
        for v in range(vectors):
            sums = loadf(bias + 64 * v)
            for tap in range(taps):
                at = t + tap - (taps - 1)
                row = inputs + at * step if at >= 0 else tail + (at + taps - 1) * step
                sums = fma(loadf(row + 64 * v), loadf(weight + tap * step + 64 * v), sums)
            storef(out + t * step + 64 * v, mul(sums, sigmoid(sums)))


@njit(error_model="numpy")
def silu_rows(first, last, x, step, vectors, out):
    """`x * sigmoid(x)`."""
    for t in range(first, last):
        for v in range(vectors):
            value = loadf(x + t * step + 64 * v)
            storef(out + t * step + 64 * v, mul(value, sigmoid(value)))


@njit(error_model="numpy")
def gate_rows(first, last, bound, gate, step, vectors):
    """`gate = bound * silu(gate)`, in place."""
    for t in range(first, last):
        for v in range(vectors):
            value = loadf(gate + t * step + 64 * v)
            value = mul(value, sigmoid(value))
            storef(gate + t * step + 64 * v, mul(loadf(bound + t * step + 64 * v), value))


@njit(error_model="numpy")
def log_sigmoid(x):
    """log(1 / (1 + e^-x)) of a float32."""
    return np.float32(min(x, _ZERO) - np.float32(math.log1p(math.exp(-abs(x)))))


@njit(error_model="numpy")
def mix(first, last, x, step, vectors, normed, paths, path_step, pathways, gain, bias, gate):
    """`x += bridge(paths)`; without a bridge (`gate` 0) the pathways are added."""
    for t in range(first, last):
        row = t * step
        for v in range(vectors):
            storef(paths + 3 * path_step + row + 64 * v, loadf(bias + 64 * v) if gate != 0 else splatf(_ZERO))
        for path in range(pathways):
            level = _ONE
            if gate != 0:
                value = inner_product(normed + row, gate + path * step, vectors)
                level = _TWO / (_ONE + np.float32(math.exp(-value)))
            for v in range(vectors):
                at = 64 * v
                weight = splatf(level)
                if gate != 0:
                    weight = mul(weight, loadf(gain + path * step + at))
                mixed = paths + 3 * path_step + row + at
                storef(mixed, fma(loadf(paths + path * path_step + row + at), weight, loadf(mixed)))
        for v in range(vectors):
            at = row + 64 * v
            storef(x + at, add(loadf(x + at), loadf(paths + 3 * path_step + at)))
