"""Uniformly random retention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy

_MASK = (1 << 63) - 1


@POLICIES.register("random")
class RandomPolicy(Policy):
    """Keeps a uniform random sample of everything written (reservoir sampling by fixed priorities).

    Drawing new victims in every round would prefer recent entries, which survive fewer rounds. The priority
    of an entry is a hash of its position and a key per layer and stream, so that it needs no storage.

    Parameters
    ----------
    seed : int or sequence of int
        Seeds the policy's own generator, from which the keys are drawn.
    """

    name = "random"

    def __init__(self, seed: int | Sequence[int] = 0, use_factor: float = 1.5) -> None:
        super().__init__(use_factor)
        self._generator = np.random.default_rng(seed)
        self._keys: Tensor | None = None

    def start(self, n_layers: int, batch: int) -> None:
        self._keys = torch.from_numpy(self._generator.integers(1 << 62, size=(n_layers, batch, 1)))

    def score(self, state: EntryState) -> Tensor:
        if self._keys is None:
            raise RuntimeError("start() must be called before score()")
        x = state.position.long() * 0x1E3779B97F4A7C15 + self._keys.to(state.position.device)
        # Finaliser of splitmix64 on 63 bits: consecutive positions become independent.
        x = (x & _MASK ^ ((x & _MASK) >> 30)) * 0x3F58476D1CE4E5B9
        x = (x & _MASK ^ ((x & _MASK) >> 27)) * 0x14D049BB133111EB
        return (x & _MASK ^ ((x & _MASK) >> 31)).double() / 2.0**63

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self._keys is None else {"keys": self._keys.clone()}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        self._keys = tensors["keys"].clone() if tensors else None
