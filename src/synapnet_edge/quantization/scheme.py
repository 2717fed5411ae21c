"""What a scheme does, as a class: pack a weight without training, or give the quantiser that trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from synapnet_edge.quantization.fake_quant import WeightQuantizer
from synapnet_edge.quantization.packing import PackedWeight
from synapnet_edge.quantization.recipe import Scheme
from synapnet_edge.quantization.row_step import Levels, RowStepQuantizer, search_alpha


class SchemeHandler(ABC):
    """Carries out one scheme name. A new scheme is one file with a subclass, and a line in `schemes`."""

    @abstractmethod
    def pack(self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None) -> PackedWeight:
        """Quantise a weight ``[N, K]`` without training, using E[x x^T] where the scheme asks for it."""

    @abstractmethod
    def quantizer(
        self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None, alpha_init: str
    ) -> WeightQuantizer:
        """The trainable quantiser of a weight ``[N, K]``."""


class RowStepScheme(SchemeHandler):
    """Schemes with one learned step per row; `levels` by bits."""

    def __init__(self, levels: Mapping[int, Levels]) -> None:
        self.levels = levels

    def pack(self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None) -> PackedWeight:
        levels = self.levels[scheme.bits]
        return levels.pack(weight, _start(weight, levels, scheme, second_moment, "search"))

    def quantizer(
        self, weight: Tensor, scheme: Scheme, second_moment: Tensor | None, alpha_init: str
    ) -> WeightQuantizer:
        levels = self.levels[scheme.bits]
        return RowStepQuantizer(levels, _start(weight, levels, scheme, second_moment, alpha_init))


def required(second_moment: Tensor | None, scheme: Scheme) -> Tensor:
    """The statistics, or ValueError where a scheme needs some and there are none."""
    if second_moment is None:
        raise ValueError(
            f"no calibration statistics, but scheme {scheme.name!r} with {scheme.bits} bits needs them"
        )
    return second_moment


def _start(
    weight: Tensor, levels: Levels, scheme: Scheme, second_moment: Tensor | None, alpha_init: str
) -> Tensor:
    if alpha_init == "max":
        return levels.start(weight)
    return search_alpha(weight, required(second_moment, scheme), levels)
