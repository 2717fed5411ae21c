"""Memory that kernels get by its address. (Handing over arrays costs more than some of the loops.)"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_BYTES = ir.IntType(8).as_pointer()


@intrinsic
def at(typingctx, address):
    """The pointer to an address, of which `carray` makes an array."""

    def build(_context, builder, _signature, values):
        return builder.inttoptr(values[0], _BYTES)

    return types.voidptr(types.int64), build


@intrinsic
def copy_bytes(typingctx, target, source, count):
    """Copy `count` bytes from one address to another; they do not overlap."""

    def build(_context, builder, _signature, values):
        to, origin = (builder.inttoptr(address, _BYTES) for address in values[:2])
        cgutils.raw_memcpy(builder, to, origin, values[2], 1)
        return ir.Constant(_BYTES, None)

    return types.none(types.int64, types.int64, types.int64), build
