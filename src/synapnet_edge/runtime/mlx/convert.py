"""Packed weights in MLX's layout: 32-bit words of codes, and `code * scale + bias` for each group."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from synapnet_edge.runtime.packed_file import PackedFile, Weight, unpack

_BITS = (2, 4, 8)
_GROUPS = (32, 64, 128)


class QuantizedMatrix:
    """A packed weight ``[N, K]`` on MLX's device.

    MLX's levels are `code * scale + bias` with a float bias, so zero points and half steps both become the
    bias: `(1/2 - zero) * scale` or `-zero * scale`.
    """

    def __init__(self, weight: Weight) -> None:
        if weight.block not in _GROUPS:
            raise ValueError(f"MLX has groups of {_GROUPS} columns, found {weight.block}")
        codes, self.bits = weight.codes, weight.bits
        if self.bits == 3:
            wide, self.bits = unpack(codes, 3, weight.block), 4
            codes = wide[..., ::2] | wide[..., 1::2] << np.uint8(4)
        self.rows, self.columns, self.block = *weight.shape, weight.block
        groups = codes.shape[1]
        words = np.ascontiguousarray(codes.reshape(self.rows, -1)).view("<u4")
        scales = np.broadcast_to(weight.scales.astype(np.float32), (self.rows, groups))
        levels = 0.5 * weight.half_step - np.broadcast_to(weight.zero_points(), scales.shape)
        self.words, self.scales = mx.array(words), mx.array(scales)
        self.biases = mx.array((levels * scales).astype(np.float32))
        self.padding = groups * weight.block - self.columns

    @property
    def nbytes(self) -> int:
        return self.words.nbytes + self.scales.nbytes + self.biases.nbytes

    def __call__(self, x: mx.array) -> mx.array:
        """x [T, K] by the transposed weight: [T, N]."""
        if self.padding:
            x = mx.pad(x, [(0, 0), (0, self.padding)])
        return mx.quantized_matmul(
            x, self.words, self.scales, self.biases, transpose=True, group_size=self.block, bits=self.bits
        )

    def rows_at(self, index: mx.array) -> mx.array:
        """Dequantised rows [T, K]."""
        parts = (part[index] for part in (self.words, self.scales, self.biases))
        return mx.dequantize(*parts, group_size=self.block, bits=self.bits)[:, : self.columns]


class FloatMatrix:
    """An FP16 weight ``[N, K]``, multiplied in float32."""

    def __init__(self, weight: np.ndarray) -> None:
        self.weight = mx.array(weight)

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes

    def __call__(self, x: mx.array) -> mx.array:
        return x @ self.weight.astype(mx.float32).T

    def rows_at(self, index: mx.array) -> mx.array:
        return self.weight[index].astype(mx.float32)


def convert(file: PackedFile) -> tuple[dict[str, QuantizedMatrix | FloatMatrix], dict[str, mx.array]]:
    """Matrices by module name, and all other parameters by name as float32."""
    matrices: dict[str, QuantizedMatrix | FloatMatrix] = {}
    for name, weight in file.weights.items():
        matrices[name.removesuffix(".weight")] = QuantizedMatrix(weight)
    others = {}
    for name, values in file.tensors.items():
        matrix = name.endswith(("_proj.weight", "up.weight", "down.weight", "score.weight", "head.weight"))
        if matrix or name.startswith(("embed.token", "embed.position")):
            matrices[name.removesuffix(".weight")] = FloatMatrix(values)
        else:
            others[name] = mx.array(values.astype(np.float32))
    return matrices, others
