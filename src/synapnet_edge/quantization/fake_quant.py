"""What trainable quantised layers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from synapnet_edge.quantization.packing import PackedWeight


class FakeQuantModule(nn.Module):
    """Base of layers that keep a float weight ``[N, K]`` and compute with its quantised value."""

    _sharing = False
    _shared: Tensor | None = None

    @abstractmethod
    def quantized_weight(self) -> Tensor:
        """The weight the forward pass uses, ``[N, K]``, with the scheme's gradients."""

    @abstractmethod
    def pack(self) -> PackedWeight:
        """The weight in its stored form; dequantised, it equals `quantized_weight` bit for bit."""

    def weight_in_use(self) -> Tensor:
        """`quantized_weight`, computed once inside `quantize_once`."""
        if not self._sharing:
            return self.quantized_weight()
        if self._shared is None:
            self._shared = self.quantized_weight()
        return self._shared


def fake_quant_modules(model: nn.Module) -> dict[str, FakeQuantModule]:
    """Trainable fake-quantised modules by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, FakeQuantModule)}


@contextmanager
def quantize_once(model: nn.Module) -> Iterator[None]:
    """Quantise each weight once for all forward calls of the block, which must not change weights.

    A sequence passes through every layer once per chunk; without this each chunk would quantise anew.
    """
    modules = fake_quant_modules(model).values()
    for module in modules:
        module._sharing = True
    try:
        yield
    finally:
        for module in modules:
            module._sharing, module._shared = False, None
