"""The model between what a training began with and what it ended with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightBlend:
    """Weights `s + share (w - s)`: s those of the model now, w those it will have.

    What a finished model learns in a short extension costs it some of what it could do; half of the way it
    has most of both (WiSE-FT, 2109.01903; measured in docs/trials.md).

    Parameters
    ----------
    model : nn.Module
    share : float
        In (0, 1).
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        if not 0 < share < 1:
            raise ValueError(f"blend: found {share}, expected more than 0 and less than 1")
        self.share = share
        self._weights = dict(model.named_parameters())
        self._start = {name: weight.detach().clone() for name, weight in self._weights.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Blended weights by parameter name."""
        return {
            name: torch.lerp(self._start[name], weight.detach(), self.share)
            for name, weight in self._weights.items()
        }

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model computes with the blend inside the block and with its own weights after it."""
        own = {name: weight.data for name, weight in self._weights.items()}
        for name, tensor in self.tensors().items():
            self._weights[name].data = tensor
        try:
            yield
        finally:
            for name, tensor in own.items():
                self._weights[name].data = tensor
