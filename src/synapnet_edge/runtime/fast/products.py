"""Packed weights times one token (`row_product`) and times several (`tile_product`), as LLVM code.

Weights lie as the products need them (`layout`): blocks of 64 rows; in a block, along K, vectors of 64 bytes
that hold four neighbouring columns of sixteen rows each, four vectors side by side. Below 8 bits a byte holds
several such column quartets; where the processor's dot product allows, they are masked but not shifted down,
and one shift a group undoes the factor.

The value of a row is the sum over groups g of `scale_g * xscale_g * (dot_g - zero_g * xsum_g)`. The bracket
is an integer and exact; at 2 bits it is doubled and the scale halved, so that levels half a step off stay
exact. One token and many give the same bits: the same bracket and the same roundings, in the same order.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types

from synapnet_edge.runtime.fast import dots
from synapnet_edge.simd import (
    _FLOATS,
    _INTS,
    _none,
    _operation,
    constant,
    load,
    splat,
    store,
)
from synapnet_edge.simd_code import Cell, at, emit_fma, returning_nothing, word

ROWS = 64
GROUP = 64
#: Tokens a tile may have; the remainder of a chunk is done with the smaller ones.
TILES = (6, 4, 1)

_F32, _I8, _I32, _I64 = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_HALVES, _BYTES = ir.VectorType(ir.HalfType(), 16), ir.VectorType(_I8, 16)


def _fields(builder, vector, bits):
    """The column quartets in a vector of packed bytes: [(vector, bits it lies above its place)]."""
    if bits == 8:
        return [(vector, 0)]
    found = []
    for low in range(0, 8, bits):
        mask = (1 << bits) - 1
        if dots.TAKES_SHIFTED:
            found.append((builder.and_(vector, constant(_repeat(mask << low), _INTS)), low))
        else:
            down = builder.lshr(vector, constant(low, _INTS)) if low else vector
            found.append((builder.and_(down, constant(_repeat(mask), _INTS)), 0))
    return found


def _repeat(byte: int) -> int:
    word = byte * 0x01010101
    return word - (1 << 32) if word >= 1 << 31 else word


def _row_product(bits):
    """Emit the product of one block of 64 rows and one token.

    Arguments: address of the codes, groups, address of the scales (FP16) and bytes between groups', the same
    of the zero points (uint8), addresses of the token's int8 codes, of their scales and of their sums (one
    float32 a group), and of the result.
    """
    quartets = 8 // bits
    dot = dots.dot_any if bits == 8 else dots.dot_small
    shift_up = 1 if bits == 2 else 0  # the bracket is doubled at 2 bits

    def build(b, w, groups, s, s_step, z, z_step, xq, xs, xsum, out):
        w, s, z, xq, xs, xsum = (Cell(b, x) for x in (w, s, z, xq, xs, xsum))
        totals = [Cell(b, constant(0.0)) for _ in range(4)]
        with cgutils.for_range(b, groups):
            sums = [[constant(0, _INTS)] * quartets for _ in range(4)]
            for step in range(16 // quartets):
                for row in range(4):
                    packed = load(b, at(b, w.get(), 64 * (4 * step + row)), _INTS)
                    for field, (codes, _) in enumerate(_fields(b, packed, bits)):
                        four = load(b, at(b, xq.get(), 4 * (quartets * step + field)), _I32)
                        sums[row][field] = dot(b, sums[row][field], codes, splat(b, four))
            count = splat(b, b.fneg(load(b, xsum.get(), _F32, 4)))
            scale = load(b, xs.get(), _F32, 4)
            scale = splat(b, b.fmul(scale, ir.Constant(_F32, 0.5)) if shift_up else scale)
            for row in range(4):
                whole = None
                for field, part in enumerate(sums[row]):
                    down = (bits * field if dots.TAKES_SHIFTED and bits < 8 else 0) - shift_up
                    if down > 0:
                        part = b.ashr(part, constant(down, _INTS))
                    elif down < 0:
                        part = b.shl(part, constant(-down, _INTS))
                    whole = part if whole is None else b.add(whole, part)
                zeros = b.uitofp(load(b, at(b, z.get(), 16 * row), _BYTES), _FLOATS)
                bracket = emit_fma(b, zeros, count, b.sitofp(whole, _FLOATS))
                scales = b.fpext(load(b, at(b, s.get(), 32 * row), _HALVES, 2), _FLOATS)
                totals[row].set(emit_fma(b, bracket, b.fmul(scales, scale), totals[row].get()))
            for cell, offset in ((w, 1024 // quartets * 4), (xq, 64), (xs, 4), (xsum, 4)):
                cell.move(offset)
            s.move(s_step)
            z.move(z_step)
        for row in range(4):
            store(b, at(b, out, 64 * row), totals[row].get(), 4)

    return returning_nothing(build)


def _float_row_product(b, w, columns, x, out):
    """Emit the product of 64 rows of FP16 weights and a float32 token."""
    w, x = Cell(b, w), Cell(b, x)
    totals = [Cell(b, constant(0.0)) for _ in range(4)]
    with cgutils.for_range(b, columns):
        value = splat(b, load(b, x.get(), _F32, 4))
        for row in range(4):
            weights = b.fpext(load(b, at(b, w.get(), 32 * row), _HALVES, 2), _FLOATS)
            totals[row].set(emit_fma(b, weights, value, totals[row].get()))
        w.move(128)
        x.move(4)
    for row in range(4):
        store(b, at(b, out, 64 * row), totals[row].get(), 4)


def _tile_product(tokens, halved):
    """Emit the product of one unpacked block of 64 rows and `tokens` tokens.

    Arguments: address of the signed weights (int8), groups, address of the scales (FP16) and bytes between
    groups', address of the first sums (int32 [groups, 64]), address of the tokens' codes with offset and
    bytes between tokens, of their scales and bytes between tokens, of the result and bytes between tokens.
    """

    def build(b, w, groups, s, s_step, first, xq, xq_step, xs, xs_step, out, out_step):
        w, s, first = Cell(b, w), Cell(b, s), Cell(b, first)
        codes = [Cell(b, at(b, xq, b.mul(xq_step, word(t)))) for t in range(tokens)]
        scales = [Cell(b, at(b, xs, b.mul(xs_step, word(t)))) for t in range(tokens)]
        totals = [[Cell(b, constant(0.0)) for _ in range(4)] for _ in range(tokens)]
        sums = [[Cell(b, constant(0, _INTS)) for _ in range(4)] for _ in range(tokens)]
        with cgutils.for_range(b, groups):
            for row in range(4):
                start = load(b, at(b, first.get(), 64 * row), _INTS)
                for t in range(tokens):
                    sums[t][row].set(start)
            for step in range(16):
                weights = [load(b, at(b, w.get(), 64 * (4 * step + row)), _INTS) for row in range(4)]
                for t in range(tokens):
                    four = splat(b, load(b, at(b, codes[t].get(), 4 * step), _I32))
                    for row in range(4):
                        sums[t][row].set(dots.dot_weights(b, sums[t][row].get(), four, weights[row]))
            for t in range(tokens):
                scale = load(b, scales[t].get(), _F32, 4)
                scale = splat(b, b.fmul(scale, ir.Constant(_F32, 0.5)) if halved else scale)
                for row in range(4):
                    weight = b.fpext(load(b, at(b, s.get(), 32 * row), _HALVES, 2), _FLOATS)
                    bracket = b.sitofp(sums[t][row].get(), _FLOATS)
                    total = emit_fma(b, bracket, b.fmul(weight, scale), totals[t][row].get())
                    totals[t][row].set(total)
                codes[t].move(64)
                scales[t].move(4)
            w.move(4096)
            first.move(256)
            s.move(s_step)
        for t in range(tokens):
            for row in range(4):
                place = at(b, out, b.add(b.mul(out_step, word(t)), word(64 * row)))
                store(b, place, totals[t][row].get(), 4)

    return returning_nothing(build)


def _float_tile_product(tokens):
    """Emit the product of 64 rows of FP16 weights and `tokens` float32 tokens."""

    def build(b, w, columns, x, x_step, out, out_step):
        w = Cell(b, w)
        values = [Cell(b, at(b, x, b.mul(x_step, word(t)))) for t in range(tokens)]
        totals = [[Cell(b, constant(0.0)) for _ in range(4)] for _ in range(tokens)]
        with cgutils.for_range(b, columns):
            halves = [load(b, at(b, w.get(), 32 * row), _HALVES, 2) for row in range(4)]
            weights = [b.fpext(half, _FLOATS) for half in halves]
            for t in range(tokens):
                value = splat(b, load(b, values[t].get(), _F32, 4))
                for row in range(4):
                    totals[t][row].set(emit_fma(b, weights[row], value, totals[t][row].get()))
                values[t].move(4)
            w.move(128)
        for t in range(tokens):
            for row in range(4):
                place = at(b, out, b.add(b.mul(out_step, word(t)), word(64 * row)))
                store(b, place, totals[t][row].get(), 4)

    return returning_nothing(build)


def _unpack(bits):
    """Emit the unpacking of one group of a block: 64 rows by 64 columns of signed weights, and first sums.

    Arguments: address of the packed codes, of the zero points (uint8), of the weights to write (4096 bytes)
    and of the sums at which the dot products start (int32 [64]): they undo `ACTIVATION_OFFSET`.
    """
    quartets = 8 // bits

    def build(b, w, z, out, first):
        bytes_ = ir.VectorType(_I8, 64)
        offset = ir.Constant(_I32, _repeat(dots.ACTIVATION_OFFSET or 1))
        for row in range(4):
            # One zero point a row, repeated over its four columns.
            zeros = b.zext(load(b, at(b, z, 16 * row), _BYTES), _INTS)
            zeros = b.bitcast(b.mul(zeros, constant(0x01010101, _INTS)), bytes_)
            sums = constant(0, _INTS)
            for step in range(16 // quartets):
                packed = load(b, at(b, w, 64 * (4 * step + row)), _INTS)
                for field in range(quartets):
                    down = b.lshr(packed, constant(bits * field, _INTS)) if field else packed
                    mask = constant(_repeat((1 << bits) - 1), _INTS)
                    codes = b.bitcast(b.and_(down, mask) if bits < 8 else down, bytes_)
                    if bits == 2:
                        codes = b.shl(codes, ir.Constant(bytes_, [1] * 64))
                    signed = b.bitcast(b.sub(codes, zeros), _INTS)
                    store(b, at(b, out, 64 * (4 * (quartets * step + field) + row)), signed)
                    if dots.ACTIVATION_OFFSET:
                        sums = dots.dot_weights(b, sums, splat(b, offset), signed)
            store(b, at(b, first, 64 * row), b.sub(constant(0, _INTS), sums))

    return returning_nothing(build)


_a = types.int64
row_product2, row_product4, row_product8 = (
    _operation(_none, (_a,) * 10, _row_product(bits)) for bits in (2, 4, 8)
)
row_product16 = _operation(_none, (_a,) * 4, returning_nothing(_float_row_product))
unpack2, unpack4, unpack8 = (_operation(_none, (_a,) * 4, _unpack(bits)) for bits in (2, 4, 8))
tile6, tile4, tile1 = (_operation(_none, (_a,) * 11, _tile_product(tokens, False)) for tokens in TILES)
tile6_halved, tile4_halved, tile1_halved = (
    _operation(_none, (_a,) * 11, _tile_product(tokens, True)) for tokens in TILES
)
float_tile6, float_tile4 = (_operation(_none, (_a,) * 6, _float_tile_product(tokens)) for tokens in (6, 4))
