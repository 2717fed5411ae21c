"""How kernels reach tables and other kernels."""

from __future__ import annotations

from numba import njit

from synapnet_edge.runtime.fast import table as t
from synapnet_edge.simd import getf, getw, invoke10, invoke14, loadi, setf, setw, storei


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
def copy_rounded(space, first, last, size):
    """Append the codes (64 bytes a group) and scales of rounded tokens to the trace."""
    trace, groups = word(space, t.TRACE), (size + 63) >> 6
    target = getw(trace)
    for token in range(first, last):
        codes = word(space, t.ROUNDED) + token * word(space, t.R_STEP)
        scales = word(space, t.X_SCALES) + token * word(space, t.G_STEP)
        for g in range(groups):
            storei(target, loadi(codes + 64 * g))
            setf(target + 64, getf(scales + 4 * g))
            target += 68
    setw(trace, target)


@njit(error_model="numpy")
def round_rows(layer, wanted, first, last, space, x, x_step, size):
    """Round activations to int8, if a weight that multiplies them is packed."""
    if word(layer, wanted):
        invoke10(
            word(space, t.QUANTISE), first, last, x, x_step, size, word(space, t.ROUNDED),
            word(space, t.R_STEP), word(space, t.X_SCALES), word(space, t.X_SUMS), word(space, t.G_STEP),
        )  # fmt: skip
        if word(space, t.TRACE) != 0:
            copy_rounded(space, first, last, size)
