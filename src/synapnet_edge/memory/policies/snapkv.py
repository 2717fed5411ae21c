"""Votes of the last queries, pooled over neighbours (SnapKV, 2404.14469)."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, NewEntries, Policy
from synapnet_edge.memory.reads import ChunkReads
from synapnet_edge.memory.scoring.snapkv import snapkv


@POLICIES.register("snapkv")
class SnapKVPolicy(Policy):
    """Keeps what the last queries read, what stands beside it, and the last entries.

    The paper compresses once, when the prompt with its question has been read; that is the query-aware column
    of the grid. In a stream the vote is taken at every chunk's end from the chunk's last queries.

    Parameters
    ----------
    queries : int
        w, queries that vote, and the most recent entries kept (at most a quarter of the capacity).
    kernel : int
        Odd width of the max-pooling.
    """

    name = "snapkv"
    wants_mass = True
    observes_open = True
    counts_uses = False
    note_width = 1  # the vote
    needs = "attention"

    def __init__(self, queries: int = 32, kernel: int = 7, use_factor: float = 1.5) -> None:
        super().__init__(use_factor)
        if queries < 1:
            raise ValueError(f"queries must be at least 1, got {queries}")
        self.history_rows = queries
        self.kernel = kernel

    def note_write(self, layer: int, entries: NewEntries) -> Tensor:
        if entries.reads is None:
            return super().note_write(layer, entries)
        return entries.reads.recent.unsqueeze(-1)

    def note_reads(self, note: Tensor, reads: ChunkReads, step: int) -> Tensor:
        return note if reads.recent is None else reads.recent.unsqueeze(-1)

    def score(self, state: EntryState) -> Tensor:
        votes, window = state.note[..., 0].float(), self.window(int(state.capacity.min()))
        return snapkv(votes, window, kernel=self.kernel, position=state.position, live=state.live)

    def window(self, capacity: int) -> int:
        """Most recent entries kept whatever they score."""
        return min(self.history_rows, capacity // 4)
