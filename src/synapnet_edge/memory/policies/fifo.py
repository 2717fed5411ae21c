"""First in, first out."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy, recency


@POLICIES.register("fifo")
class FIFOPolicy(Policy):
    """Drops the oldest write. Entries are written in order of position, so position is the write order."""

    name = "fifo"

    def score(self, state: EntryState) -> Tensor:
        return recency(state)
