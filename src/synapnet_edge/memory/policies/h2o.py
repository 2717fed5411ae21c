"""Heavy hitters of accumulated attention (H2O, 2306.14048)."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy
from synapnet_edge.memory.scoring.h2o import h2o


@POLICIES.register("h2o")
class H2OPolicy(Policy):
    """Keeps the entries with the largest sum of attention, and the most recent ones.

    The sum runs over heads, because an entry is kept with all of them, and starts in the entry's own chunk.

    Parameters
    ----------
    recent_share : float
        Share of the capacity for the most recent entries (half in the paper).
    """

    name = "h2o"
    wants_mass = True
    observes_open = True
    counts_uses = False
    needs = "attention"

    def __init__(self, recent_share: float = 0.5, use_factor: float = 1.5) -> None:
        super().__init__(use_factor)
        if not 0.0 <= recent_share <= 1.0:
            raise ValueError(f"recent_share must lie in 0..1, got {recent_share}")
        self.recent_share = recent_share

    def score(self, state: EntryState) -> Tensor:
        recent = state.recent(self.recent_share)
        return h2o(state.mass, recent, position=state.position, live=state.live)
