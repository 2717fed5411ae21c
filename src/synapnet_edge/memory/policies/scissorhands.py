"""Persistence of importance: entries that are rarely read go first (Scissorhands, 2305.17118)."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, NewEntries, Policy
from synapnet_edge.memory.reads import ChunkReads
from synapnet_edge.memory.scoring.scissorhands import scissorhands


@POLICIES.register("scissorhands")
class ScissorhandsPolicy(Policy):
    """Counts, over a history of queries, how often an entry's weight is below an even share.

    When the capacity is exceeded, half of it is dropped in one go: the entries with the most low counts,
    never the most recent ten. Counts are kept per chunk, so the history is a whole number of chunks.

    Parameters
    ----------
    history : int
        Chunks of the history; 3 of 128 queries stand for the 400 queries of the paper.
    recent : int
        Most recent entries that are never dropped; at most a quarter of the capacity.
    drop_share : float
        Share of the capacity dropped at once.
    """

    name = "scissorhands"
    wants_mass = True
    observes_open = True
    counts_uses = False
    counts_low = True
    needs = "attention"

    def __init__(
        self, history: int = 3, recent: int = 10, drop_share: float = 0.5, use_factor: float = 1.5
    ) -> None:
        super().__init__(use_factor)
        if history < 1 or recent < 0 or not 0.0 <= drop_share < 1.0:
            found = f"{history}, {recent} and {drop_share}"
            raise ValueError(f"expected history >= 1, recent >= 0 and drop_share in [0, 1), got {found}")
        self.note_width = history  # low counts of the last chunks, a ring
        self.recent, self.drop_share = recent, drop_share

    def note_write(self, layer: int, entries: NewEntries) -> Tensor:
        note = super().note_write(layer, entries)
        if entries.reads is not None:
            note[..., entries.step % self.note_width] = entries.reads.low.to(note.dtype)
        return note

    def note_reads(self, note: Tensor, reads: ChunkReads, step: int) -> Tensor:
        note = note.clone()
        note[..., step % self.note_width] = 0 if reads.low is None else reads.low.to(note.dtype)
        return note

    def score(self, state: EntryState) -> Tensor:
        low = state.note.sum(dim=-1, dtype=torch.float32)
        recent = state.recent(0.25, self.recent)
        return scissorhands(low, recent, position=state.position, live=state.live)
