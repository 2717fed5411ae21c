"""A trained head scores every entry once, at its write (Locret, 2410.01805)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from synapnet_edge.memory.policies.base import POLICIES, EntryState, NewEntries, Policy
from synapnet_edge.memory.scoring.window import protect_recent


@POLICIES.register("locret")
class LocretPolicy(Policy):
    """Keeps the entries with the highest causal importance, and the most recent ones ("stabilisers").

    Parameters
    ----------
    heads : ModuleList of RetainingHead
        One per layer, trained by `training.locret.train_locret`; one score per entry, since an entry is kept
        with all its heads.
    stabiliser_share : float
        Share of the capacity for the most recent entries; 2,500 of 6,000 in the paper, rounded down to 0.4.

    Raises
    ------
    ValueError
        Without heads: there is nothing to score by.
    """

    name = "locret"
    wants_queries = True
    note_width = 1  # the score: it travels with the entry and is not computed again
    needs = "queries, training"

    def __init__(
        self, heads: nn.ModuleList | None = None, stabiliser_share: float = 0.4, use_factor: float = 1.5
    ) -> None:
        super().__init__(use_factor)
        if heads is None:
            raise ValueError("policy 'locret' needs its trained heads")
        self.heads, self.stabiliser_share = heads, stabiliser_share

    def note_write(self, layer: int, entries: NewEntries) -> Tensor:
        if entries.queries is None:
            raise RuntimeError("locret needs the model's queries, and none were observed")
        parts = (x.float().flatten(-2) for x in (entries.queries, entries.keys, entries.values))
        with torch.no_grad():
            return self.heads[layer].to(entries.keys.device)(*parts)

    def score(self, state: EntryState) -> Tensor:
        recent = state.recent(self.stabiliser_share)
        return protect_recent(state.note[..., 0], recent, state.position, state.live)

    def state_bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.heads.parameters())
