"""Asking a policy: one score for every stored and every new entry, all layers and streams at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synapnet_edge.memory.compiled import calls as compiled
from synapnet_edge.memory.policies.base import EntryState, Policy
from synapnet_edge.memory.tiers import Block, Entries, take


def score_entries(policy: Policy, blocks: Sequence[Block], incoming: Entries, step: int) -> Tensor:
    """Scores float64 [L, B, N] of the blocks' slots and then of the newcomers.

    Those of empty slots and of padding mean nothing. While the first block has room for all newcomers there
    is no decision to take: the policy is not asked and the scores only say that everything stays.

    Raises
    ------
    ValueError
        If the policy returns another shape or a live entry's score is not finite.
    """
    new = incoming["position"]
    if blocks[0].free() >= new.shape[2]:
        total = sum(block.slots for block in blocks) + new.shape[2]
        return torch.ones(*new.shape[:2], total, dtype=torch.float64, device=new.device)
    capacity = blocks[0].limits if len(blocks) == 1 else sum(block.limits for block in blocks)
    return _asked(policy, entry_state([*blocks, incoming], step, capacity))


def drop_at_once(blocks: Sequence[Block], scores: Tensor, incoming: Entries, share: float) -> Tensor:
    """Empty the slots of the worst entries so that at most 1 - `share` of the capacity stays.

    Newcomers among the worst become padding. Returns how many went, [L, B].
    """
    live = torch.cat([*(block.live for block in blocks), incoming["position"] >= 0], dim=2)
    limits = torch.stack([block.limits for block in blocks]).sum(dim=0)
    stay = (limits - (share * limits).long())[:, None, None]
    ranked = scores.masked_fill(~live, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    gone = live & (ranked.argsort(dim=-1) >= stay)
    sizes = [*(block.slots for block in blocks), incoming["position"].shape[2]]
    *parts, fresh = gone.split(sizes, dim=2)
    for block, part in zip(blocks, parts, strict=True):
        block.clear(part)
    incoming["position"] = incoming["position"].masked_fill(fresh, -1)
    return gone.sum(dim=2)


def fill_best(target: Block, source: Block, policy: Policy, step: int, before: int) -> None:
    """Copy into an empty block the entries of another one that the policy scores best.

    Entries at position `before` or later are left out.
    """
    own = {name: x[:, :, : source.top] for name, x in source.data.items()}
    own["position"] = own["position"].masked_fill(own["position"] >= before, -1)
    seen = entry_state([source.restricted(own)], step, target.limits)
    scores = _asked(policy, seen).masked_fill(~seen.live, -torch.inf)
    rank = scores.argsort(dim=-1, descending=True, stable=True)[..., : target.capacity]
    best = take(own, rank)
    beyond = torch.arange(rank.shape[-1], device=rank.device) >= target.limits[:, None, None]
    gone = beyond | (best["position"] < 0)
    best["position"] = best["position"].masked_fill(gone, -1)
    best["count"] = best["count"].masked_fill(gone, 0.0)
    target.load(best)


def entry_state(sources: Sequence[Block | Entries], step: int, capacity: Tensor) -> EntryState:
    """What is known about the entries of blocks and about new ones when chunk `step` is finished."""

    def payload(part: str, layer: int, stream: int) -> Tensor:
        found = [
            source.payload(part, layer, stream, source.slots).float()
            if isinstance(source, Block)
            else source[part][layer, stream].float()
            for source in sources
        ]
        return found[0] if len(found) == 1 else torch.cat(found)

    parts = [source.data if isinstance(source, Block) else source for source in sources]
    return EntryState(parts, payload, step=step, capacity=capacity)


def _asked(policy: Policy, state: EntryState) -> Tensor:
    scores = policy.score(state)
    if scores.shape != state.shape:
        expected, found = state.shape, tuple(scores.shape)
        raise ValueError(f"policy {policy.name!r} must return scores {expected}, got {found}")
    scores = scores.double()
    finite = compiled.all_finite(scores) if scores.device.type == "cpu" else bool(scores.isfinite().all())
    if not finite and not bool(scores[state.live].isfinite().all()):
        raise ValueError(f"policy {policy.name!r} returned a score that is not finite")
    return scores
