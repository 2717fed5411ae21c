"""What an eviction policy is told and must answer. Selection and byte arithmetic belong to the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from synapnet_edge.registry import Registry

#: A read counts as a use only above this absolute mass: below it, it is rounding.
_LEAST_MASS = 1e-3


@dataclass(frozen=True)
class EntryState:
    """Everything known at decision time, for all layers and streams at once; N = stored and new entries.

    Attributes
    ----------
    live : Tensor
        [L, B, N] bool; scores of other slots are ignored.
    position : Tensor
        [L, B, N] absolute token index.
    log_salience, count, mass : Tensor
        [L, B, N] float32: log-salience at the write, tokens stood for, read mass received so far (summed
        over heads and queries).
    last_read, written, reads : Tensor
        [L, B, N]: chunk of the last use (the write counts as one), chunk of the write, number of uses.
    step : int
        Index of the chunk just finished.
    values : callable
        (layer, stream) -> [N, D] float32 value payload. Dequantises: only policies that need it pay for it.
    """

    live: Tensor
    position: Tensor
    log_salience: Tensor
    count: Tensor
    mass: Tensor
    last_read: Tensor
    written: Tensor
    reads: Tensor
    step: int
    values: Callable[[int, int], Tensor]


class Policy(ABC):
    """Ranks entries for eviction: higher score = keep longer.

    A policy is query-agnostic: it sees finished chunks only.

    Parameters
    ----------
    use_factor : float
        An entry is "used" in a chunk if its read mass exceeds `use_factor` times the even share.
    """

    name: str = ""
    #: Whether scores depend on read mass; collecting it makes the model's reads slower.
    wants_mass: bool = False

    def __init__(self, use_factor: float = 1.5) -> None:
        if use_factor <= 0:
            raise ValueError(f"use_factor must be positive, got {use_factor}")
        self.use_factor = use_factor

    def start(self, n_layers: int, batch: int) -> None:  # noqa: B027 (optional hook)
        """Called once, when the store learns its sizes."""

    def observe_write(self, positions: Tensor, live: Tensor) -> None:  # noqa: B027 (optional hook)
        """Receive the positions [L, B, K] of a chunk's new entries; `live` masks padding."""

    def observe_read(self, mass: Tensor, live: Tensor) -> Tensor:
        """Receive the read mass [L, B, N] of a finished chunk; return which entries it used (bool)."""
        even = mass.sum(dim=-1, keepdim=True) / live.sum(dim=-1, keepdim=True).clamp_min(1)
        return live & (mass > self.use_factor * even) & (mass > _LEAST_MASS)

    @abstractmethod
    def score(self, state: EntryState) -> Tensor:
        """Return finite scores [L, B, N], higher = keep. Ties go to the stored entry."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors needed to go on with the same decisions (none for a policy without own state)."""
        return {}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_dict`; raises ValueError on tensors this policy does not have."""
        if tensors:
            raise ValueError(f"policy {self.name!r} has no state, got {sorted(tensors)}")

    def describe(self) -> str:
        """One line for ledgers and logs."""
        return self.name


#: Policy classes by name.
POLICIES: Registry[type[Policy]] = Registry("policy")


def recency(state: EntryState) -> Tensor:
    """Positions as float64: the natural tie-break, distinct within a row."""
    return state.position.to(torch.float64)
