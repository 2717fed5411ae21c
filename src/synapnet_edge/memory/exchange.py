"""Keeping the best of stored and new entries, moving only those that change place."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from synapnet_edge.memory.compiled import calls as compiled
from synapnet_edge.memory.tiers import Block, Entries, choose, join, take


def exchange(
    block: Block, scores: Tensor, incoming: Entries, incoming_scores: Tensor
) -> tuple[Tensor, Entries, Tensor]:
    """Keep the best of the stored and incoming entries, and hand on the others.

    The i-th best newcomer takes the i-th worst slot while it scores higher: exactly the top of the
    union, at the cost of a top-k and K copied entries. Empty slots are the worst. Of slots with equal scores
    the first is the worst; of newcomers with equal scores the first is the best.

    Parameters
    ----------
    block : Block
        Changed in place.
    scores : Tensor
        float64 [L, B, S]; values of empty slots are ignored.
    incoming : Entries
        K entries in this block's format.
    incoming_scores : Tensor
        float64 [L, B, K]; -inf marks "no entry".

    Returns
    -------
    scores, leaving, leaving_scores
        Scores of the block afterwards; what did not stay (position -1 and score -inf: nothing).
    """
    order = incoming_scores.argsort(dim=-1, descending=True, stable=True)
    incoming, incoming_scores = take(incoming, order), incoming_scores.gather(-1, order)
    scores = _open_slots(block, scores)
    k = min(scores.shape[-1], incoming_scores.shape[-1])
    worst, slots = (compiled.lowest if scores.device.type == "cpu" else lowest)(scores, k)
    head = {name: x[:, :, :k] for name, x in incoming.items()}
    head_scores = incoming_scores[..., :k]
    enters = head_scores > worst
    stored = take(block.data, slots)
    block.put(slots, choose(enters, head, stored))
    _raise_top(block, enters, slots)
    scores = scores.scatter(-1, slots, torch.where(enters, head_scores, worst))
    leaving = join(choose(enters, stored, head), {name: x[:, :, k:] for name, x in incoming.items()})
    left = torch.cat([torch.where(enters, worst, head_scores), incoming_scores[..., k:]], dim=-1)
    return scores, leaving, left.masked_fill(leaving["position"] < 0, -math.inf)


def admit_best(block: Block, scores: Tensor, incoming: Entries) -> Tensor:
    """As `exchange` for the last of all blocks: what does not stay is gone, [L, B] of them.

    Only entries that enter are moved, and those that leave are not looked at.

    Parameters
    ----------
    block : Block
        Changed in place.
    scores : Tensor
        float64 [L, B, S + K], of the slots and of the newcomers; of empty slots and padding they are ignored.
    incoming : Entries
        K entries in this block's format; position -1 is padding.
    """
    present = incoming["position"] >= 0
    scores, incoming_scores = scores.split([block.slots, present.shape[2]], dim=2)
    incoming_scores = incoming_scores.masked_fill(~present, -math.inf)
    order = incoming_scores.argsort(dim=-1, descending=True, stable=True)
    k = min(scores.shape[-1], order.shape[-1])
    order = order[..., :k]
    best = incoming_scores.gather(-1, order)
    worst, slots = lowest(_open_slots(block, scores), k)
    enters = best > worst
    taken = (enters & worst.isneginf()).sum(dim=-1)  # slots that were empty
    to, source = _rows(slots, scores.shape[-1])[enters], _rows(order, incoming_scores.shape[-1])[enters]
    for name, x in block.data.items():
        rows = incoming[name].reshape(-1, *x.shape[3:]).index_select(0, source)
        x.view(-1, *x.shape[3:]).index_copy_(0, to, rows.to(x.dtype))
    _raise_top(block, enters, slots)
    return present.sum(dim=-1) - taken


def lowest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k lowest of [L, B, N] in ascending order, and their places; of equals the lowest place comes first.

    (A top-k would not say which of equals it takes, and that would differ between devices.)
    """
    values, places = scores.sort(dim=-1, stable=True)
    return values[..., :k], places[..., :k]


def _open_slots(block: Block, scores: Tensor) -> Tensor:
    """Scores with empty slots lowest, and slots that a layer must not use highest."""
    scores = scores.masked_fill(~block.live, -math.inf)
    if not block.equal:
        beyond = torch.arange(scores.shape[-1], device=scores.device) >= block.limits[:, None, None]
        scores = scores.masked_fill(beyond, math.inf)
    return scores


def _raise_top(block: Block, enters: Tensor, slots: Tensor) -> None:
    """The high-water mark after entries have entered."""
    if slots.shape[-1] and block.top < block.capacity:
        block.top = max(block.top, int(torch.where(enters, slots + 1, 0).max()))


def _rows(index: Tensor, slots: int) -> Tensor:
    """Row numbers of index [L, B, K] in arrays flattened to rows."""
    first = torch.arange(index.shape[0] * index.shape[1], device=index.device) * slots
    return index + first.view(*index.shape[:2], 1)
