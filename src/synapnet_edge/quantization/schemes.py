"""What each scheme does: pack a weight without training, or swap a module for its trainable version."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from synapnet_edge.quantization.fake_quant import FakeQuantModule
from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.quantization.paretoq import SEQLinear, pack_seq, search_alpha
from synapnet_edge.quantization.recipe import Scheme
from synapnet_edge.quantization.uniform import IntEmbedding, IntLinear, pack_integer, search_clip
from synapnet_edge.registry import Registry


class SchemeHandler(ABC):
    """Carries out one scheme name. A new scheme is one subclass registered in `SCHEMES`."""

    @abstractmethod
    def pack(self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None) -> PackedWeight:
        """Quantise a weight ``[N, K]`` without training, using E[x x^T] where the scheme asks for it."""

    @abstractmethod
    def prepare(
        self, module: nn.Module, scheme: Scheme, second_moment: Tensor | None, alpha_init: str
    ) -> FakeQuantModule:
        """Return a trainable fake-quantised copy of a linear or embedding."""


SCHEMES: Registry[SchemeHandler] = Registry("quantisation scheme")


class _IntegerScheme(SchemeHandler):
    def pack(self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None) -> PackedWeight:
        ratio = None
        if scheme.clip_search:
            moment = _required(second_moment, scheme)
            ratio = search_clip(weight, moment, scheme.bits, scheme.group, scheme.symmetric)
        return pack_integer(weight, scheme.bits, scheme.group, scheme.symmetric, ratio)

    def prepare(
        self, module: nn.Module, scheme: Scheme, second_moment: Tensor | None, alpha_init: str
    ) -> FakeQuantModule:
        ratio = None
        if scheme.clip_search and second_moment is not None:
            ratio = search_clip(module.weight, second_moment, scheme.bits, scheme.group, scheme.symmetric)
        if isinstance(module, nn.Embedding):
            return IntEmbedding.from_embedding(module, scheme.bits, scheme.group, scheme.symmetric, ratio)
        return IntLinear.from_linear(module, scheme.bits, scheme.group, scheme.symmetric, ratio)


class _SeqScheme(SchemeHandler):
    def pack(self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None) -> PackedWeight:
        return pack_seq(weight, search_alpha(weight, _required(second_moment, scheme)))

    def prepare(
        self, module: nn.Module, scheme: Scheme, second_moment: Tensor | None, alpha_init: str
    ) -> FakeQuantModule:
        if not isinstance(module, nn.Linear):
            raise ValueError(f"seq: found {type(module).__name__}, expected a linear layer")
        alpha = None
        if alpha_init == "search":
            alpha = search_alpha(module.weight, _required(second_moment, scheme))
        return SEQLinear.from_linear(module, alpha)


def _required(second_moment: Tensor | None, scheme: Scheme) -> Tensor:
    if second_moment is None:
        raise ValueError(
            f"no calibration statistics, but scheme {scheme.name!r} with {scheme.bits} bits needs them"
        )
    return second_moment


SCHEMES.add("int", _IntegerScheme())
SCHEMES.add("seq", _SeqScheme())
