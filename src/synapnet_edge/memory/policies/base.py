"""What an eviction policy is told and must answer. Selection and byte arithmetic belong to the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from synapnet_edge.memory.policies.state import EntryState
from synapnet_edge.memory.reads import ChunkReads
from synapnet_edge.registry import Registry

#: A read counts as a use only above this absolute mass: below it, it is rounding.
_LEAST_MASS = 1e-3


class NewEntries(NamedTuple):
    """K entries of one layer when they are written.

    Attributes
    ----------
    keys, values : Tensor
        [B, K, H, d] float16, as stored.
    log_salience : Tensor
        [B, K] float32.
    step : int
        Index of their chunk.
    queries : Tensor or None
        [B, K, H, d] read queries of the same tokens, if the policy wants queries.
    reads : ChunkReads or None
        [B, K] what their own chunk read of them, if the policy observes the open chunk and it was watched.
    """

    keys: Tensor
    values: Tensor
    log_salience: Tensor
    step: int
    queries: Tensor | None
    reads: ChunkReads | None


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
    #: Whether `observe_queries` is called.
    wants_queries: bool = False
    #: Last queries of a chunk whose rows `note_reads` gets the sum of; needs `wants_mass`.
    history_rows: int = 0
    #: Whether `note_reads` gets counts of low weights; needs `wants_mass`.
    counts_low: bool = False
    #: Whether new entries start with what the queries of their own chunk read of them.
    observes_open: bool = False
    #: Whether `observe_read` is asked which entries a chunk used (`last_read`, `reads`).
    counts_uses: bool = True
    #: FP16 numbers kept per entry for this policy; they are part of the entry's bytes.
    note_width: int = 0
    #: Share of the capacity that is dropped in one go when it is exceeded; 0 = only what does not fit.
    drop_share: float = 0.0
    #: Whether it must be told the future or be trained, sees reads, ...; one line for tables of policies.
    needs: str = "nothing"

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

    def observe_queries(self, layer: int, query: Tensor) -> None:  # noqa: B027 (optional hook)
        """Receive the read queries [B, H, T, d] of a piece as they enter the logits."""

    def note_write(self, layer: int, entries: NewEntries) -> Tensor:
        """First notes [B, K, k] of new entries."""
        return entries.keys.new_zeros(*entries.keys.shape[:2], self.note_width)

    def note_reads(self, note: Tensor, reads: ChunkReads, step: int) -> Tensor:
        """Notes [L, B, N, k] after the reads of chunk `step`."""
        return note

    def layer_capacities(self, n_layers: int, capacity: int) -> list[int]:
        """Entries each layer may hold, when the budget is `capacity` of them in every layer."""
        return [capacity] * n_layers

    def state_bytes(self) -> int:
        """Bytes of the policy's own state and weights per stream: not entries, not part of the budget."""
        return 0

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
