"""A linear layer on packed weights inside an ordinary PyTorch model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.kernels import load_kernels
from synapnet_edge.runtime.fast.layout import Arena, aligned, padded, place_linear
from synapnet_edge.runtime.packed_file import Weight

#: Tokens of one call of the kernel.
TOKENS = 128


class PackedLinear(nn.Module):
    """`nn.Linear` for inference on a packed weight; inputs are rounded to int8 per token and 64 features.

    Parameters
    ----------
    weight : PackedWeight
        ``[N, K]``.
    bias : Tensor, optional
        ``[N]``, added in float32.
    """

    def __init__(self, weight: PackedWeight, bias: Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bits, self.packed_bytes = weight.bits, weight.nbytes
        self.register_buffer("bias", bias)
        self._kernels = load_kernels()
        self._arena = Arena()
        self._words = place_linear(self._arena, as_numpy(weight))
        self._space = self._make_space()

    @classmethod
    def replace_in(cls, model: nn.Module) -> nn.Module:
        """Swap every packed `nn.Linear` of a loaded or quantised model, in place; returns the model."""
        for name, weight in model.quantization.packed.items():
            module = model.get_submodule(name)
            if isinstance(module, nn.Linear):
                parent, _, child = name.rpartition(".")
                bias = None if module.bias is None else module.bias.detach().float()
                setattr(model.get_submodule(parent), child, cls(weight, bias))
        return model

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x [..., K]; returns [..., N] in the dtype of x. Has no gradient."""
        rows = x.detach().reshape(-1, self.in_features).float().numpy()
        out = np.empty((len(rows), padded(self.out_features)), np.float32)
        given = aligned((min(len(rows), TOKENS), padded(self.in_features)), np.float32)
        for start in range(0, len(rows), TOKENS):
            part = rows[start : start + TOKENS]
            given[: len(part), : self.in_features] = part
            self._kernels.read_out(
                self._words,
                1,
                self.in_features,
                self._space,
                given.ctypes.data,
                len(part),
                out[start:].ctypes.data,
            )
        result = torch.from_numpy(out[:, : self.out_features]).reshape(*x.shape[:-1], self.out_features)
        return (result if self.bias is None else result + self.bias).to(x.dtype)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bits={self.bits}"

    def _make_space(self) -> int:
        """The part of a work space that one product needs."""
        width = padded(self.in_features)
        words = self._arena.new(t.SPACE_WORDS, np.int64)
        mine = self._arena.new(t.THREAD_WORDS, np.int64)
        mine[t.UNPACKED] = self._arena.new(64 * width, np.int8).ctypes.data
        mine[t.STARTS] = self._arena.new(width, np.int32).ctypes.data
        kernels = self._kernels.KERNELS
        words[list(kernels)] = list(kernels.values())
        words[[t.D_STEP, t.R_STEP, t.G_STEP]] = 4 * width, width, width // 16
        words[t.ROUNDED] = self._arena.new(TOKENS * width, np.int8).ctypes.data
        for place in (t.X_SCALES, t.X_SUMS):
            words[place] = self._arena.new(TOKENS * width // 64, np.float32).ctypes.data
        words[t.THREADS] = mine.ctypes.data
        return words.ctypes.data


def as_numpy(weight: PackedWeight) -> Weight:
    """The same packed weight over NumPy arrays, without copying."""
    zeros = None if weight.zeros is None else weight.zeros.numpy()
    return Weight(
        shape=weight.shape,
        bits=weight.bits,
        block=weight.block,
        zero=weight.zero,
        half_step=weight.half_step,
        codes=weight.codes.numpy(),
        scales=weight.scales.numpy(),
        zeros=zeros,
    )
