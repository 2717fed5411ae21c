"""What hand-written LLVM code is made of: variables, addresses, and bodies that return nothing."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from synapnet_edge.simd import _I64, _fma, _void

emit_fma, returning_nothing = _fma, _void


def word(value: int) -> ir.Constant:
    """An int64 constant."""
    return ir.Constant(_I64, value)


def at(builder, address, offset):
    """An address and an offset in bytes, a number or a value of the code."""
    return builder.add(address, word(offset) if isinstance(offset, int) else offset)


class Cell:
    """A variable of the generated code."""

    def __init__(self, builder, first) -> None:
        self.builder = builder
        self.slot = cgutils.alloca_once(builder, first.type)
        self.set(first)

    def set(self, value) -> None:
        self.builder.store(value, self.slot)

    def get(self):
        return self.builder.load(self.slot)

    def move(self, offset) -> None:
        """Add an offset to an address."""
        self.set(at(self.builder, self.get(), offset))
