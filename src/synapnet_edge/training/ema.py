"""Exponential moving average of the weights: smoother than those of the last step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """Float32 average `a <- a + (1 - d_t) (w - a)` of a model's parameters, kept beside the optimiser.

    `d_t = min(decay, (1 + t) / (10 + t))` after step t: the average follows closely at first, so that the
    random initial weights leave no trace, and no other bias correction is needed.

    Parameters
    ----------
    model : nn.Module
    decay : float
        In (0, 1); 0.999 averages over about 1,000 steps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema: found {decay}, expected more than 0 and less than 1")
        self.decay = decay
        parameters = dict(model.named_parameters())
        self._weights = list(parameters.values())
        self._names = list(parameters)
        self._averages = [weight.detach().float().clone() for weight in self._weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after the 0-based optimiser step `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, [weight.float() for weight in self._weights], 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model computes with the average inside the block and with its own weights after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def tensors(self) -> dict[str, Tensor]:
        """Averages by parameter name."""
        return dict(zip(self._names, self._averages, strict=True))

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from `tensors()` of an earlier run; raises KeyError for a missing name."""
        for name, average in self.tensors().items():
            average.copy_(tensors[name])

    def _swap(self) -> None:
        # Exchanging storages copies nothing, and the weights come back bit for bit.
        for weight, average in zip(self._weights, self._averages, strict=True):
            weight.data, average.data = average.data, weight.data
