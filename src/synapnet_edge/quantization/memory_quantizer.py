"""INT8 memory entries: symmetric, one FP16 scale per (entry, head), for keys and values alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synapnet_edge.quantization.primitives import MAX_FP16

# The smallest normal FP16 number is 6.104e-5; a smaller floor would lose precision or underflow to 0.
MIN_ENTRY_SCALE = 6.2e-5
LARGEST_CODE = 127


@dataclass(frozen=True)
class MemoryQuantizer:
    """Quantises entry keys or values ``[..., d]`` (``[B, H, K, d]`` in the model) over their last axis.

    A call applies `fake_quant`, so an instance serves as ``model.entry_quantizer``.
    """

    def quantize(self, entries: Tensor) -> tuple[Tensor, Tensor]:
        """Return int8 codes ``[..., d]`` and FP16 scales ``[...]``.

        The scale is rounded to FP16 first and the codes are chosen for the rounded scale.

        Raises
        ------
        ValueError
            If an entry is too large for an FP16 scale or is not finite.
        """
        scale = _entry_scale(entries)
        codes = torch.round(entries.float() / scale.float().unsqueeze(-1)).clamp(-LARGEST_CODE, LARGEST_CODE)
        return codes.to(torch.int8), scale

    def dequantize(self, codes: Tensor, scale: Tensor) -> Tensor:
        """Entries ``[..., d]`` in float32."""
        return codes.float() * scale.float().unsqueeze(-1)

    def fake_quant(self, entries: Tensor) -> Tensor:
        """Quantise and dequantise in the entries' dtype; the gradient passes straight through."""
        restored = self.dequantize(*self.quantize(entries.detach())).to(entries.dtype)
        # Value exactly `restored`, gradient that of `entries`: x - x.detach() is 0 with derivative 1.
        return restored + (entries - entries.detach())

    def __call__(self, entries: Tensor) -> Tensor:
        return self.fake_quant(entries)


def _entry_scale(entries: Tensor) -> Tensor:
    scale = entries.float().abs().amax(-1) / LARGEST_CODE
    if not bool(torch.isfinite(scale).all()) or bool((scale > MAX_FP16).any()):
        raise ValueError(
            "memory entries: found a value that is not finite or beyond the range of an FP16 scale"
        )
    return scale.clamp_min(MIN_ENTRY_SCALE).half()
