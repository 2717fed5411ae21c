"""Asking a policy: one score for every stored and every new entry, all layers and streams at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from synapnet_edge.memory.policies.base import EntryState, Policy
from synapnet_edge.memory.tiers import Block, Entries, take

_FIELDS = ("position", "log_salience", "count", "mass", "last_read", "written", "reads", "note")

_FEW = 100_000  # entries of all layers and streams


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
    elif policy.pointwise and fresh.shape[0] * fresh.shape[1] * sum(sizes) > _FEW:
        # Every entry's score is its own affair: nothing needs to be copied into one array. Of few entries one
        # call on a copy is faster than two calls.
        fixed = {"step": step, "capacity": sum(block.limits for block in blocks)}
        parts = [_asked(policy, _part_state(block.data, block, **fixed)) for block in blocks]
        arriving = _asked(policy, _part_state(incoming, None, **fixed))
        return [*parts, arriving.masked_fill(~fresh, -torch.inf)]
    else:
        scores = _asked(policy, entry_state(blocks, incoming, step))
    *stored, arriving = scores.split([*sizes, new], dim=2)
    return [*stored, arriving.masked_fill(~fresh, -torch.inf)]


def drop_at_once(
    blocks: Sequence[Block], stored: Sequence[Tensor], arriving: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """Empty the slots of the worst entries so that at most 1 - `share` of the capacity stays.

    Returns the newcomers' scores, -inf where they are among the dropped, and how many went, [L, B].
    """
    live = torch.cat([block.live for block in blocks] + [~arriving.isneginf()], dim=2)
    scores = torch.cat([*stored, arriving], dim=2).masked_fill(~live, -torch.inf)
    limits = torch.stack([block.limits for block in blocks]).sum(dim=0)
    stay = (limits - (share * limits).long())[:, None, None]
    rank = scores.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    gone = live & (rank >= stay)
    *parts, fresh = gone.split(
        [*(block.data["position"].shape[2] for block in blocks), arriving.shape[2]], dim=2
    )
    for block, part in zip(blocks, parts, strict=True):
        block.clear(part)
    return arriving.masked_fill(fresh, -torch.inf), gone.sum(dim=2)


def fill_best(target: Block, source: Block, policy: Policy, step: int, before: int) -> None:
    """Copy into an empty block the entries of another one that the policy scores best.

    Entries at position `before` or later are left out.
    """
    own = {name: x[:, :, : source.top] for name, x in source.data.items()}
    own["position"] = own["position"].masked_fill(own["position"] >= before, -1)
    nothing = {name: x[:, :, :0] for name, x in own.items()}
    seen = entry_state([source.restricted(own)], nothing, step)
    scores = _asked(policy, replace(seen, capacity=target.limits)).masked_fill(~seen.live, -torch.inf)
    rank = scores.argsort(dim=-1, descending=True, stable=True)[..., : target.capacity]
    best = take(own, rank)
    beyond = torch.arange(rank.shape[-1], device=rank.device) >= target.limits[:, None, None]
    gone = beyond | (best["position"] < 0)
    best["position"] = best["position"].masked_fill(gone, -1)
    best["count"] = best["count"].masked_fill(gone, 0.0)
    target.load(best)


def entry_state(blocks: Sequence[Block], incoming: Entries, step: int) -> EntryState:
    """What is known about stored and new entries when chunk `step` is finished."""
    fields = [name for name in _FIELDS if name in incoming]
    meta = {name: torch.cat([b.data[name] for b in blocks] + [incoming[name]], dim=2) for name in fields}
    for name in ("log_salience", "count", "mass"):
        meta[name] = meta[name].float()

    def payload(part: str, layer: int, stream: int) -> Tensor:
        parts = [b.payload(part, layer, stream, b.data["position"].shape[2]).float() for b in blocks]
        return torch.cat([*parts, incoming[part][layer, stream].float()])

    return EntryState(
        live=meta["position"] >= 0,
        step=step,
        capacity=sum(block.limits for block in blocks),
        keys=partial(payload, "keys"),
        values=partial(payload, "values"),
        **{"note": None, **meta},
    )


def _part_state(data: Entries, block: Block | None, step: int, capacity: Tensor) -> EntryState:
    """What is known about the entries of one block, or (None) about new ones, without a copy of them."""

    def payload(part: str, layer: int, stream: int) -> Tensor:
        if block is None:
            return data[part][layer, stream].float()
        return block.payload(part, layer, stream, data["position"].shape[2]).float()

    fields = {name: data.get(name) for name in _FIELDS}
    for name in ("log_salience", "count", "mass"):
        fields[name] = fields[name].float()
    return EntryState(
        live=fields["position"] >= 0,
        step=step,
        capacity=capacity,
        keys=partial(payload, "keys"),
        values=partial(payload, "values"),
        **fields,
    )


def _asked(policy: Policy, state: EntryState) -> Tensor:
    scores = policy.score(state)
    if scores.shape != state.live.shape:
        expected, found = tuple(state.live.shape), tuple(scores.shape)
        raise ValueError(f"policy {policy.name!r} must return scores {expected}, got {found}")
    if not bool(torch.isfinite(scores).all()) and not bool(torch.isfinite(scores[state.live]).all()):
        raise ValueError(f"policy {policy.name!r} returned a score that is not finite")
    return scores.double()
