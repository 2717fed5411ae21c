"""From the packed file's layout to the one the kernels stream through. Pure NumPy, done once at load."""

from __future__ import annotations

import numpy as np

from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.packed_file import Weight, unpack

ROWS, GROUP = 64, 64


def padded(size: int, multiple: int = 64) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple


def aligned(shape: int | tuple[int, ...], dtype: type | str) -> np.ndarray:
    """Zeros that start on a cache line, as rows of vectors should."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + 128, np.uint8)  # 64 bytes behind the end may be read, never used
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


class Arena:
    """Arrays that must live as long as the addresses in a table."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []

    def new(self, shape: int | tuple[int, ...], dtype: type | str) -> np.ndarray:
        """A zeroed array that this arena keeps alive."""
        self.arrays.append(aligned(shape, dtype))
        return self.arrays[-1]

    def keep(self, values: np.ndarray, dtype: type | str) -> int:
        """Address of an aligned copy."""
        array = self.new(values.shape, dtype)
        array[...] = values
        return array.ctypes.data

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays)


def place_linear(arena: Arena, weight: Weight | np.ndarray) -> int:
    """Address of the table of a weight [N, K]: packed, or a float array that is kept as FP16."""
    words = arena.new(t.LINEAR_WORDS, np.int64)
    if isinstance(weight, np.ndarray):
        rows, columns = weight.shape
        blocks = _by_block(weight.astype(np.float16))  # [B, 64, K]
        codes = blocks.reshape(-1, 4, 16, columns).transpose(0, 3, 1, 2)
        words[:] = (t.HALF, len(blocks), columns, arena.keep(codes, np.float16), *[0] * 6)
        return words.ctypes.data
    codes, bits = _padded_codes(weight), weight.bits
    if bits == 3:
        bits = 4  # the kernels read codes of 2, 4 and 8 bits; the values stay the same
    blocks = _by_block(codes)
    groups = codes.shape[1] // GROUP
    quartets = 8 // bits
    # [B, row vector, row, step, quartet, column] -> a byte for all quartets
    parts = blocks.reshape(-1, 4, 16, codes.shape[1] // (4 * quartets), quartets, 4)
    packed = np.zeros(parts.shape[:4] + (4,), np.uint8)
    for quartet in range(quartets):
        packed |= parts[..., quartet, :] << np.uint8(bits * quartet)
    packed = packed.transpose(0, 3, 1, 2, 4)
    scales, scale_step = _per_group(weight.scales, groups, 2)
    doubled = 2 if bits == 2 else 1
    zeros = doubled * weight.zero_points() - weight.half_step
    if bits == 8 and (zeros != 128).any():
        raise ValueError("8-bit weights need the zero point 128 in compiled kernels")
    if weight.half_step and bits != 2:
        raise ValueError("levels half a step off need 2-bit codes in compiled kernels")
    if (zeros == zeros[0, 0]).all():
        zeros, zero_step, zero_block = np.full((ROWS, 1), zeros[0, 0]), 0, 0
    else:
        zeros, zero_step = _per_group(zeros, groups, 1)
        zero_block = ROWS * zeros.shape[1]
    words[:] = (
        bits,
        len(blocks),
        groups,
        arena.keep(packed, np.uint8),
        arena.keep(_by_group(scales), np.float16),
        scale_step,
        2 * ROWS * scales.shape[1],
        arena.keep(_by_group(zeros), np.uint8),
        zero_step,
        zero_block,
    )
    return words.ctypes.data


def place_rows(arena: Arena, weight: Weight | np.ndarray) -> int:
    """Address of the table of an embedding [V, K], whose rows are looked up: packed, or kept as FP16.

    In this table `BLOCKS` is the bytes of a row's codes; zero points are doubled, less one for half steps.
    """
    words = arena.new(t.LINEAR_WORDS, np.int64)
    if isinstance(weight, np.ndarray):
        rows = np.zeros((len(weight), padded(weight.shape[1])), np.float16)
        rows[:, : weight.shape[1]] = weight
        words[:] = (t.HALF, rows.shape[1] * 2, 0, arena.keep(rows, np.float16), *[0] * 6)
        return words.ctypes.data
    if weight.block % GROUP:
        raise ValueError(f"compiled kernels need groups of a multiple of {GROUP} columns, got {weight.block}")
    codes, bits = weight.codes.reshape(weight.shape[0], -1), weight.bits
    if bits == 3:
        wide, bits = unpack(weight.codes, 3, weight.block).reshape(weight.shape[0], -1), 4
        codes = wide[:, ::2] | wide[:, 1::2] << np.uint8(4)
    groups = -(-weight.shape[1] // GROUP)
    scales, zeros = weight.scales, 2 * weight.zero_points() - weight.half_step
    if scales.shape[1] > 1:
        scales = _per_group(scales, groups, 2)[0]
    if (zeros == zeros[0, 0]).all():
        zeros = zeros[:1, :1]
    elif zeros.shape[1] > 1:
        zeros = _per_group(zeros, groups, 1)[0]
    else:
        zeros = np.repeat(zeros, groups, axis=1)
    words[:] = (
        bits,
        codes.shape[1],
        scales.shape[1],
        arena.keep(codes, np.uint8),
        arena.keep(scales, np.float16),
        2 * scales.shape[1],
        0,
        arena.keep(zeros, np.uint16),
        0 if zeros.size == 1 else 2 * zeros.shape[1],
        0,
    )
    return words.ctypes.data


def _padded_codes(weight: Weight) -> np.ndarray:
    """Codes [N, K padded to whole groups]; padding multiplies activations that are zero."""
    if weight.block % GROUP:
        raise ValueError(f"compiled kernels need groups of a multiple of {GROUP} columns, got {weight.block}")
    codes = unpack(weight.codes, weight.bits, weight.block).reshape(weight.shape[0], -1)
    return codes[:, : padded(weight.shape[1])]


def _by_block(rows: np.ndarray) -> np.ndarray:
    """[N, ...] -> [ceil(N / 64), 64, ...], zeros appended."""
    extra = -len(rows) % ROWS
    rows = np.concatenate([rows, np.zeros((extra, *rows.shape[1:]), rows.dtype)])
    return rows.reshape(-1, ROWS, *rows.shape[1:])


def _by_group(values: np.ndarray) -> np.ndarray:
    """[N, G] -> [blocks, G, 64]."""
    return _by_block(values).transpose(0, 2, 1)


def _per_group(values: np.ndarray, groups: int, size: int) -> tuple[np.ndarray, int]:
    """Values [N, 1 or groups] and the bytes from one group's to the next (0: the row has one)."""
    if values.shape[1] == 1:
        return values, 0
    repeat = -(-groups // values.shape[1])
    return np.repeat(values, repeat, axis=1)[:, :groups], ROWS * size
