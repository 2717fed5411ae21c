"""Dot products of bytes: `dot(acc, unsigned, signed)` adds to each int32 lane the sum of its four products.

One set of definitions for every kind of processor, emitted into the kernels (`products`). `dot_weights` is
for signed weights; its activations carry `ACTIVATION_OFFSET`, which makes them unsigned where they must be.
"""

from __future__ import annotations

from llvmlite import ir

from synapnet_edge.runtime.fast.isa import ISA
from synapnet_edge.simd import call

_I16, _I32 = ir.IntType(16), ir.IntType(32)


def _vector(bits: int, lanes: int) -> ir.VectorType:
    return ir.VectorType(ir.IntType(bits), lanes)


def _parts(builder, vector, kind, count):
    """Split a vector into `count` vectors of `kind`."""
    vector = builder.bitcast(vector, ir.VectorType(kind.element, kind.count * count))
    lanes = [range(part * kind.count, (part + 1) * kind.count) for part in range(count)]
    masks = [ir.Constant(ir.VectorType(_I32, kind.count), list(part)) for part in lanes]
    return [builder.shuffle_vector(vector, vector, mask) for mask in masks]


def _joined(builder, parts):
    """Concatenate equal int32 vectors."""
    while len(parts) > 1:
        lanes = parts[0].type.count
        mask = ir.Constant(ir.VectorType(_I32, 2 * lanes), list(range(2 * lanes)))
        parts = [builder.shuffle_vector(*pair, mask) for pair in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _by_parts(count, one):
    """Apply `one(builder, acc, a, b)`, which knows int32 vectors of 16 / count lanes, to all parts."""

    def whole(builder, *vectors):
        kind = ir.VectorType(_I32, 16 // count)
        split = [_parts(builder, vector, kind, count) for vector in vectors]
        return _joined(builder, [one(builder, *parts) for parts in zip(*split, strict=True)])

    return whole


def _vnni512(builder, acc, unsigned, signed):
    return call(builder, "llvm.x86.avx512.vpdpbusd.512", acc.type, acc, unsigned, signed)


def _vnni256(builder, acc, unsigned, signed):
    return call(builder, "llvm.x86.avx512.vpdpbusd.256", acc.type, acc, unsigned, signed)


def _avx2_small(builder, acc, unsigned, signed):
    """Two instructions; a pair of products must fit int16, so the unsigned operand must be below 128."""
    bytes_, words = _vector(8, 32), _vector(16, 16)
    pairs = call(
        builder,
        "llvm.x86.avx2.pmadd.ub.sw",
        words,
        builder.bitcast(unsigned, bytes_),
        builder.bitcast(signed, bytes_),
    )
    ones = ir.Constant(words, [1] * 16)
    return builder.add(acc, call(builder, "llvm.x86.avx2.pmadd.wd", acc.type, pairs, ones))


def _avx2_any(builder, acc, unsigned, signed):
    """Even and odd bytes as int16: no product pair can overflow."""
    eight = ir.Constant(_vector(16, 16), [8] * 16)
    low = ir.Constant(_vector(16, 16), [255] * 16)
    first, second = (builder.bitcast(x, _vector(16, 16)) for x in (unsigned, signed))
    even = (builder.and_(first, low), builder.ashr(builder.shl(second, eight), eight))
    odd = (builder.lshr(first, eight), builder.ashr(second, eight))
    for pair in (even, odd):
        acc = builder.add(acc, call(builder, "llvm.x86.avx2.pmadd.wd", acc.type, *pair))
    return acc


def _sdot(builder, acc, first, second):
    bytes_ = _vector(8, 16)
    operands = [builder.bitcast(x, bytes_) for x in (first, second)]
    return call(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", acc.type, acc, *operands)


def _lanes(builder, acc, first, second, first_signed):
    """Plain int32 arithmetic, any processor."""
    for shift in (24, 16, 8, 0):
        up = ir.Constant(acc.type, [24 - shift] * 16)
        down = ir.Constant(acc.type, [24] * 16)
        extend = builder.ashr if first_signed else builder.lshr
        a = extend(builder.shl(first, up), down)
        acc = builder.add(acc, builder.mul(a, builder.ashr(builder.shl(second, up), down)))
    return acc


def _generic(builder, acc, unsigned, signed):
    return _lanes(builder, acc, unsigned, signed, False)


def _generic_signed(builder, acc, first, second):
    return _lanes(builder, acc, first, second, True)


# kind -> (dot of codes below 128, dot of any bytes, dot of signed weights, offset of their activations)
_KINDS = {
    "avx512vnni": (_vnni512, _vnni512, _vnni512, 128),
    "avxvnni": (*[_by_parts(2, _vnni256)] * 3, 128),
    "avx2": (_by_parts(2, _avx2_small), _by_parts(2, _avx2_any), _by_parts(2, _avx2_any), 128),
    "neon": (_by_parts(4, _sdot), _generic, _by_parts(4, _sdot), 0),
    "generic": (_generic, _generic, _generic_signed, 0),
}
#: `dot(builder, acc, unsigned, signed)` for codes below 128, for any, and `(acc, activations, weights)`.
dot_small, dot_any, dot_weights, ACTIVATION_OFFSET = _KINDS[ISA]
#: Whether `dot_small` takes codes that were masked but not shifted down to the lowest bits of their byte.
TAKES_SHIFTED = ISA in ("avx512vnni", "avxvnni")
