"""Most salient at the write: what the model itself held to matter, never revised."""

from __future__ import annotations

from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy


@POLICIES.register("salience")
class SaliencePolicy(Policy):
    """Keeps the entries of highest log-salience; a summary ranks by the mean of its members.

    Needs no read mass, so reads stay fast, and no entry ages: a fact far back is worth as much as a new one.
    """

    name = "salience"

    def score(self, state: EntryState) -> Tensor:
        return state.log_salience.double()
