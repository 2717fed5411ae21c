"""How kernels reach tables and other kernels."""

from __future__ import annotations

from numba import njit

from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.simd import getw, invoke10, invoke14


@njit(error_model="numpy")
def word(address, index):
    """The int64 at a place of a table."""
    return getw(address + 8 * index)


@njit(error_model="numpy")
def project(layer, which, first, last, space, mine, x, x_step, out, out_step):
    """One linear layer of `layer` for tokens first..last; rounded inputs lie in the space."""
    invoke14(
        word(space, t.LINEAR), word(layer, which), first, last, x, x_step,
        word(space, t.ROUNDED), word(space, t.R_STEP), word(space, t.X_SCALES), word(space, t.X_SUMS),
        word(space, t.G_STEP), out, out_step, word(mine, t.UNPACKED), word(mine, t.STARTS),
    )  # fmt: skip


@njit(error_model="numpy")
def round_rows(layer, wanted, first, last, space, x, x_step, size):
    """Round activations to int8, if a weight that multiplies them is packed."""
    if word(layer, wanted):
        invoke10(
            word(space, t.QUANTISE), first, last, x, x_step, size, word(space, t.ROUNDED),
            word(space, t.R_STEP), word(space, t.X_SCALES), word(space, t.X_SUMS), word(space, t.G_STEP),
        )  # fmt: skip
