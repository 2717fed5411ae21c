"""Keys of small norm (2406.11430)."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, NewEntries, Policy
from synapnet_edge.memory.scoring.knorm import knorm


@POLICIES.register("knorm")
class KnormPolicy(Policy):
    """Keeps the entries whose keys have the smallest norm (mean over heads); known at the write.

    A model that normalises its keys, as this package's does, leaves almost nothing to rank by.
    """

    name = "knorm"
    note_width = 1  # -||k||

    def note_write(self, layer: int, entries: NewEntries) -> Tensor:
        return knorm(entries.keys).mean(dim=-1, keepdim=True)

    def score(self, state: EntryState) -> Tensor:
        return state.note[..., 0].double()
