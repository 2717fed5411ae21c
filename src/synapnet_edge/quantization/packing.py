"""Bit-exact packing of small integer codes, and the packed weight that every backend reads.

Layout (that of onnxruntime's MatMulNBits): for a weight ``[N, K]`` the codes are ``uint8 [N, ceil(K/g),
g*bits/8]``, K padded to whole groups; within a byte stream the first code takes the lowest bits. Scales are
FP16 ``[N, G]``; zero points are integers, one for all groups or packed with the codes' bit width along G.

Levels between the integers (2-bit SEQ: -3/4, -1/4, +1/4, +3/4 of alpha) are integer codes with zero point 2
and `half_step`: every weight is half a scale higher, a term of rank one in the product, ``scale/2 * sum(x)``.
No zero point is ever a fraction: kernels for those are several times slower, where they exist at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from synapnet_edge.quantization.primitives import dequantize, from_groups, to_groups

SUPPORTED_BITS = (2, 3, 4, 8)
DEFAULT_BLOCK = 64


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """Pack codes along the last axis, low-order bits first.

    Parameters
    ----------
    codes : Tensor
        Integers in 0 .. 2^bits - 1, shape ``[..., n]``, any n.
    bits : int
        2, 3, 4 or 8.

    Returns
    -------
    Tensor
        uint8 ``[..., ceil(n*bits/8)]``; unused bits of the last byte are 0.

    Raises
    ------
    ValueError
        If `bits` is not supported or a code is out of range.
    """
    _check_bits(bits)
    if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= 2**bits):
        found = f"{int(codes.min())} .. {int(codes.max())}"
        raise ValueError(f"codes: found values {found}, expected 0 .. {2**bits - 1} for {bits} bits")
    codes = codes.to(torch.uint8)
    if bits == 8:
        return codes.clone()
    stream = (codes.unsqueeze(-1) >> _shifts(bits, codes.device)) & 1
    stream = stream.flatten(-2)
    stream = F.pad(stream, (0, -stream.shape[-1] % 8)).unflatten(-1, (-1, 8))
    # Each byte has distinct bits, so the sum never exceeds 255.
    return (stream << _shifts(8, codes.device)).sum(-1, dtype=torch.uint8)


def unpack_codes(packed: Tensor, bits: int, length: int) -> Tensor:
    """Inverse of `pack_codes`: uint8 codes ``[..., length]``.

    Raises
    ------
    ValueError
        If `bits` is not supported or `packed` has not exactly the bytes that `length` codes take.
    """
    _check_bits(bits)
    expected = -(-length * bits // 8)
    if packed.dtype != torch.uint8 or packed.shape[-1] != expected:
        found = f"{packed.dtype} with {packed.shape[-1]} bytes"
        raise ValueError(f"packed codes: found {found}, expected uint8 with {expected} for {length} codes")
    if bits == 8:
        return packed.clone()
    stream = (packed.unsqueeze(-1) >> _shifts(8, packed.device)) & 1
    stream = stream.flatten(-2)[..., : length * bits].unflatten(-1, (length, bits))
    return (stream << _shifts(bits, packed.device)).sum(-1, dtype=torch.uint8)


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """One quantised weight ``[N, K]`` as it lies in a file.

    Attributes
    ----------
    shape : (N, K), the shape of the weight it stands for.
    bits : width of a code.
    codes : uint8 ``[N, ceil(K/block), block*bits/8]``.
    scales : FP16 ``[N, G]``; G = 1 means one scale a row.
    zeros : uint8 ``[N, ceil(G*bits/8)]`` packed integer zero points, or None: all equal `zero`.
    zero : zero point that holds where `zeros` is None; 2^(bits-1) for symmetric integers and for SEQ.
    block : codes of one row that are packed together; equals the quantisation group if there is one.
    half_step : whether every weight is half a scale above its code's integer level.
    """

    shape: tuple[int, int]
    bits: int
    codes: Tensor
    scales: Tensor
    zeros: Tensor | None
    zero: int
    block: int = DEFAULT_BLOCK
    half_step: bool = False

    def __post_init__(self) -> None:
        _check_bits(self.bits)
        if isinstance(self.zero, bool) or not isinstance(self.zero, int) or not 0 <= self.zero < 2**self.bits:
            raise ValueError(f"zero: found {self.zero!r}, expected a whole number below {2**self.bits}")
        rows, columns = self.shape
        if self.block * self.bits % 8:
            raise ValueError(f"block: found {self.block}, expected whole bytes of {self.bits}-bit codes")
        blocks = -(-columns // self.block)
        groups = self.scales.shape[-1]
        if groups not in (1, blocks):
            raise ValueError(f"scales: found {groups} groups a row, expected 1 or {blocks}")
        expected = {
            "codes": (self.codes, (rows, blocks, self.block * self.bits // 8), torch.uint8),
            "scales": (self.scales, (rows, groups), torch.float16),
        }
        if self.zeros is not None:
            expected["zeros"] = (self.zeros, (rows, -(-groups * self.bits // 8)), torch.uint8)
        for name, (tensor, shape, dtype) in expected.items():
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                found = f"{tensor.dtype} {list(tensor.shape)}"
                raise ValueError(f"{name}: found {found}, expected {dtype} {list(shape)}")

    @classmethod
    def pack(
        cls,
        codes: Tensor,
        scales: Tensor,
        bits: int,
        *,
        zeros: Tensor | None = None,
        zero: int = 0,
        block: int = DEFAULT_BLOCK,
        half_step: bool = False,
    ) -> PackedWeight:
        """Pack integer codes ``[N, K]``, scales ``[N, G]`` and zero points ``[N, G]`` (or None)."""
        return cls(
            shape=(codes.shape[0], codes.shape[1]),
            bits=bits,
            codes=pack_codes(to_groups(codes.to(torch.uint8), block), bits).cpu(),
            scales=scales.half().cpu(),
            zeros=None if zeros is None else pack_codes(zeros, bits).cpu(),
            zero=zero,
            block=block,
            half_step=half_step,
        )

    def integer_codes(self) -> Tensor:
        """The codes as uint8 ``[N, K]``."""
        return from_groups(unpack_codes(self.codes, self.bits, self.block), self.shape[1])

    def zero_points(self) -> Tensor:
        """Zero points as float32 ``[N, G]``."""
        if self.zeros is None:
            return torch.full(tuple(self.scales.shape), float(self.zero))
        return unpack_codes(self.zeros, self.bits, self.scales.shape[-1]).float()

    def dequantize(self) -> Tensor:
        """The weight as float32 ``[N, K]``: ``(code - zero [+ 1/2]) * scale``."""
        codes = unpack_codes(self.codes, self.bits, self.block).float()
        zeros = self.zero_points() - 0.5 * self.half_step
        return from_groups(dequantize(codes, self.scales.float(), zeros), self.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and zero points together."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """The stored tensors by suffix: codes, scales and, where present, zeros."""
        stored = {"codes": self.codes, "scales": self.scales}
        return stored if self.zeros is None else {**stored, "zeros": self.zeros}


def _check_bits(bits: int) -> None:
    if bits not in SUPPORTED_BITS:
        raise ValueError(f"bits: found {bits!r}, expected one of {SUPPORTED_BITS}")


def _shifts(bits: int, device: torch.device) -> Tensor:
    return torch.arange(bits, dtype=torch.uint8, device=device)
