"""Asking a policy: one score for every stored and every new entry, all layers and streams at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synapnet_edge.memory.policies.base import EntryState, Policy
from synapnet_edge.memory.tiers import Block, Entries

_FIELDS = ("position", "log_salience", "count", "mass", "last_read", "written", "reads")


def score_entries(policy: Policy, blocks: Sequence[Block], incoming: Entries, step: int) -> list[Tensor]:
    """Scores float64 of each block's slots [L, B, S] and of the newcomers [L, B, K] (-inf: padding).

    While the first block has room for all newcomers there is no decision to take: the policy is not asked
    and the scores only say that everything stays.

    Raises
    ------
    ValueError
        If the policy returns another shape or a live entry's score is not finite.
    """
    fresh = incoming["position"] >= 0
    new = fresh.shape[2]
    sizes = [block.data["position"].shape[2] for block in blocks]
    if blocks[0].free() >= new:
        ones = torch.ones(*fresh.shape[:2], sum(sizes) + new, dtype=torch.float64, device=fresh.device)
        scores = ones
    else:
        scores = _asked(policy, entry_state(blocks, incoming, step))
    *stored, arriving = scores.split([*sizes, new], dim=2)
    return [*stored, arriving.masked_fill(~fresh, -torch.inf)]


def entry_state(blocks: Sequence[Block], incoming: Entries, step: int) -> EntryState:
    """What is known about stored and new entries when chunk `step` is finished."""
    meta = {name: torch.cat([b.data[name] for b in blocks] + [incoming[name]], dim=2) for name in _FIELDS}
    for name in ("log_salience", "count", "mass"):
        meta[name] = meta[name].float()

    def values(layer: int, stream: int) -> Tensor:
        parts = [b.payload("values", layer, stream, b.data["position"].shape[2]).float() for b in blocks]
        return torch.cat([*parts, incoming["values"][layer, stream].float()]).flatten(-2)

    return EntryState(live=meta["position"] >= 0, step=step, values=values, **meta)


def _asked(policy: Policy, state: EntryState) -> Tensor:
    scores = policy.score(state)
    if scores.shape != state.live.shape:
        expected, found = tuple(state.live.shape), tuple(scores.shape)
        raise ValueError(f"policy {policy.name!r} must return scores {expected}, got {found}")
    if not bool(torch.isfinite(scores[state.live]).all()):
        raise ValueError(f"policy {policy.name!r} returned a score that is not finite")
    return scores.double()
