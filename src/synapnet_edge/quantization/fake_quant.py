"""Trainable quantised layers: an ordinary layer whose weight passes through a quantiser at every use."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F

from synapnet_edge.quantization.activation import int8_linear
from synapnet_edge.quantization.packing import PackedWeight


class WeightQuantizer(nn.Module):
    """How one weight ``[N, K]`` is quantised; holds what the scheme learns or has fixed."""

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """The quantised weight ``[N, K]``, with the scheme's gradients."""

    @abstractmethod
    def pack(self, weight: Tensor) -> PackedWeight:
        """The weight in its stored form; dequantised, it equals the forward pass bit for bit."""


class FakeQuantModule(nn.Module):
    """Base of layers that keep a float weight ``[N, K]`` and compute with its quantised value."""

    weight: Tensor
    quantizer: WeightQuantizer
    _sharing = False
    _shared: Tensor | None = None

    def quantized_weight(self) -> Tensor:
        """The weight the forward pass uses, ``[N, K]``, with the scheme's gradients."""
        return self.quantizer(self.weight)

    def pack(self) -> PackedWeight:
        """The weight in its stored form; dequantised, it equals `quantized_weight` bit for bit."""
        return self.quantizer.pack(self.weight.detach())

    def weight_in_use(self) -> Tensor:
        """`quantized_weight`, computed once inside `quantize_once`."""
        if not self._sharing:
            return self.quantized_weight()
        if self._shared is None:
            self._shared = self.quantized_weight()
        return self._shared


class QuantLinear(FakeQuantModule, nn.Linear):
    """Linear layer with a fake-quantised weight; with `int8_inputs` its inputs are INT8 per token too."""

    int8_inputs = False

    def forward(self, inputs: Tensor) -> Tensor:
        compute = int8_linear if self.int8_inputs else F.linear
        return compute(inputs, self.weight_in_use(), self.bias)


class QuantEmbedding(FakeQuantModule, nn.Embedding):
    """Embedding table with a fake-quantised weight."""

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight_in_use(), self.padding_idx)


def fake_quantized(
    module: nn.Module, quantizer: WeightQuantizer, int8_inputs: bool = False
) -> FakeQuantModule:
    """A trainable copy of a linear or embedding layer under `quantizer`.

    Raises
    ------
    ValueError
        For another kind of layer, or INT8 inputs of an embedding (token ids are no activations).
    """
    factory = {"device": module.weight.device, "dtype": module.weight.dtype}
    if isinstance(module, nn.Embedding):
        if int8_inputs:
            raise ValueError("int8 inputs: found an embedding, expected a linear layer")
        layer = QuantEmbedding(*module.weight.shape, padding_idx=module.padding_idx, **factory)
    elif isinstance(module, nn.Linear):
        layer = QuantLinear(module.in_features, module.out_features, module.bias is not None, **factory)
        layer.int8_inputs = int8_inputs
    else:
        raise ValueError(f"layer: found {type(module).__name__}, expected a linear or embedding layer")
    layer.load_state_dict({name: value.detach() for name, value in module.state_dict().items()})
    layer.quantizer = quantizer.to(module.weight.device)
    return layer


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
