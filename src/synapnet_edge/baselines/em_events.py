"""Events of EM-LLM (arXiv 2407.09450): boundaries at surprising tokens, moved to where keys separate best."""

from __future__ import annotations

import torch
from torch import Tensor


def surprising(surprise: Tensor, first: int, window: int, gamma: float, skip: int) -> list[int]:
    """Positions of boundaries: tokens whose surprise exceeds mean + gamma * deviation of the past.

    Parameters
    ----------
    surprise : [N] -log p of every token so far. Tokens from `first` on are judged by those of the `window`
        before `first`, without the initial `skip`: a threshold from the past only (equation 2).
    """
    past = surprise[max(skip, first - window) : first]
    if past.numel() < 2:
        return []
    threshold = past.mean() + gamma * past.std()
    new = (surprise[first:] > threshold).nonzero()[:, 0] + first
    return [int(position) for position in new if position >= skip]


def modularity(adjacency: Tensor) -> Tensor:
    """Modularity of every split of n nodes into the first s and the rest, s = 1 .. n-1; [n-1].

    (1 / 2m) sum over pairs of the same side of (A_ij - k_i k_j / 2m), for a symmetric adjacency with
    non-negative entries (Newman 2006; section 3.2 of the paper).
    """
    total = adjacency.sum()
    if float(total) <= 0:
        return adjacency.new_zeros(len(adjacency) - 1)
    degree = adjacency.sum(1)
    excess = adjacency - degree[:, None] * degree[None] / total
    before = excess.cumsum(0).cumsum(1).diagonal()  # sum over the first s x s
    # Rows of the excess add up to zero, so the sum over the rest equals that over the first.
    return 2 * before[:-1] / total


def refine(boundary: int, previous: int, stop: int, keys: Tensor, least: int) -> int:
    """Move a boundary to the split of greatest modularity of the keys between its neighbours.

    Parameters
    ----------
    previous, stop : the boundary before, and the last known token + 1; the search looks half an event beyond.
    keys : [N, d], all layers and heads side by side.
    least : fewest tokens of an event.
    """
    end = min(stop, boundary + max(1, (boundary - previous) // 2))
    if end - previous < 2 * least:
        return boundary
    span = keys[previous:end]
    # Dot products below zero are no edges.
    scores = modularity((span @ span.T).clamp_min(0))
    low, high = least, min(boundary - previous + 1, end - previous - 1)
    if high <= low:
        return boundary
    return previous + low + int(scores[low - 1 : high].argmax())


def limited(boundaries: list[int], previous: int, stop: int, least: int, most: int) -> list[int]:
    """Boundaries in (previous, stop] such that every event has `least` to `most` tokens.

    A boundary too close to the one before it is dropped; a longer stretch is cut at `most`.
    """
    found: list[int] = []
    for boundary in [*sorted(boundaries), None]:
        target = stop if boundary is None else boundary
        while target - previous > most:
            previous += most
            found.append(previous)
        if boundary is not None and boundary - previous >= least:
            found.append(boundary)
            previous = boundary
    return found


def representatives(keys: Tensor, attention: Tensor, count: int) -> Tensor:
    """An event's key: mean of the `count` tokens of each head that were read most, heads side by side.

    Parameters
    ----------
    keys : [G, n, d]. attention : [G, n], received while the tokens were local.
    """
    best = attention.topk(min(count, keys.shape[1]), 1).indices
    chosen = keys.gather(1, best[..., None].expand(-1, -1, keys.shape[2]))
    return chosen.mean(1).flatten()


def choose_events(similarity: Tensor, sizes: Tensor, room: int, buffer: float) -> Tensor:
    """Which events each query reads, [T, E] bool.

    The most similar events fill the share `1 - buffer` of `room` tokens; their neighbours on both sides, in
    the order of the events they stand beside, fill the rest (the contiguity buffer).

    Parameters
    ----------
    similarity : [T, E] of every query with every event. sizes : [E] tokens. room : tokens in all.
    """
    order = similarity.argsort(1, descending=True)
    events = similarity.shape[1]
    filled = sizes[order].cumsum(1) <= max(int((1 - buffer) * room), int(sizes.max()))
    chosen = torch.zeros_like(similarity, dtype=torch.bool).scatter(1, order, filled)
    places = torch.arange(events, device=order.device).expand_as(order).contiguous()
    rank = torch.full_like(order, events).scatter(1, order, places)
    rank = rank.masked_fill(~chosen, events)
    beside = torch.full_like(rank, events)
    beside[:, 1:] = rank[:, :-1]
    beside[:, :-1] = torch.minimum(beside[:, :-1], rank[:, 1:])
    beside = beside.masked_fill(chosen, events)
    queue = beside.argsort(dim=1, stable=True)
    waiting = beside.gather(1, queue) < events
    left = room - (sizes * chosen).sum(1, keepdim=True)
    taken = waiting & ((sizes[queue] * waiting).cumsum(1) <= left)
    return chosen | torch.zeros_like(chosen).scatter(1, queue, taken)
