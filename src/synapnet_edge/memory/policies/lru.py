"""Least recently used."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy, recency

_POSITIONS = 2.0**31  # positions are int32, so this keeps them below one chunk of recency; exact in float64


@POLICIES.register("lru")
class LRUPolicy(Policy):
    """Drops the entry whose last use is oldest: its write, or a read well above the even share.

    Entries last used in the same chunk leave in order of position.
    """

    name = "lru"
    wants_mass = True

    def score(self, state: EntryState) -> Tensor:
        return state.last_read.double() * _POSITIONS + recency(state)
