"""Attention of the last query (TOVA, 2401.06104)."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, NewEntries, Policy
from synapnet_edge.memory.reads import ChunkReads


@POLICIES.register("tova")
class TOVAPolicy(Policy):
    """Keeps what the last query of the chunk just finished read, summed over heads.

    The paper decides after every token; entries leave a store at a chunk's end, so that the last query is the
    chunk's. That token itself, which does not read itself here, has no score and goes first.
    """

    name = "tova"
    wants_mass = True
    observes_open = True
    counts_uses = False
    history_rows = 1
    note_width = 1  # the last query's attention
    needs = "attention"

    def note_write(self, layer: int, entries: NewEntries) -> Tensor:
        if entries.reads is None:
            return super().note_write(layer, entries)
        return entries.reads.last.unsqueeze(-1)

    def note_reads(self, note: Tensor, reads: ChunkReads, step: int) -> Tensor:
        return note if reads.last is None else reads.last.unsqueeze(-1)

    def score(self, state: EntryState) -> Tensor:
        return state.note[..., 0].double()
