"""A store driven by hand as a model drives it: every token is written, reads are given row by row."""

from __future__ import annotations

import math

import pytest
import torch

from synapnet_edge.memory import EpisodicStore
from synapnet_edge.memory.policies.base import Policy

WIDTH = 4
Rows = dict[int, list[dict[int, float]]]


def _attended(
    policy: Policy | str,
    capacity: int,
    chunks: int,
    length: int,
    rows: Rows | None = None,
    *,
    layers: int = 1,
    keys: dict[int, list[float]] | None = None,
    values: dict[int, list[float]] | None = None,
    queries: list[float] | None = None,
    salience: dict[int, float] | None = None,
    store: EpisodicStore | None = None,
) -> EpisodicStore:
    """Stream `chunks` chunks of `length` tokens through one head and one row, the same in every layer.

    rows[c][t][p] is the probability that query t of chunk c gives to the token at position p; tokens that
    are not stored any more get nothing. Keys are unit vectors and queries the given one, unless said.
    """
    store = store or EpisodicStore(layers, policy, entries_per_layer=capacity)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(chunks * length, 2, WIDTH, generator=generator)
    for chunk in range(chunks):
        start = chunk * length
        own = list(range(start, start + length))
        for layer in range(layers):
            _read(store, layer, own, (rows or {}).get(chunk, []), queries)
        for layer in range(layers):
            payload = torch.stack(
                [
                    torch.stack([torch.tensor(given.get(p, noise[p, i].tolist())) for p in own])
                    for i, given in enumerate((keys or {}, values or {}))
                ]
            )[:, None, None]
            log_salience = torch.tensor([[(salience or {}).get(p, -1.0) for p in own]])
            store.write(layer, *payload, log_salience, torch.tensor([own]))
        store.end_chunk()
    return store


def _held(store: EpisodicStore, layer: int = 0) -> list[int]:
    """Positions held by one layer, in order."""
    return sorted(p for p in store.held_positions()[layer, 0].tolist() if p >= 0)


def _read(
    store: EpisodicStore, layer: int, own: list[int], rows: list[dict[int, float]], query: list[float] | None
) -> None:
    length = len(own)
    if store.wants_queries:
        one = torch.tensor(query or [1.0, 0.0, 0.0, 0.0])
        store.observe_queries(layer, one.expand(1, 1, length, WIDTH))
    if not store.wants_mass:
        return
    view = store.read(layer)
    stored = [] if view is None else store.held_positions()[layer, 0].tolist()
    columns = [*stored, *own]
    bias = torch.zeros(1, 1, length, len(columns) + 1)
    probabilities = torch.zeros(length, len(columns) + 1)
    for t in range(length):
        bias[0, 0, t, len(stored) + t : -1] = -math.inf  # itself and the future
        bias[0, 0, t, [i for i, p in enumerate(stored) if p < 0]] = -math.inf
        for p, share in rows[t].items() if t < len(rows) else ():
            if p in columns:
                probabilities[t, columns.index(p)] = share
    watch = store.watch_blocks(layer, bias)
    if watch is not None:
        watch(0, 0, probabilities)
    if view is not None:
        store.observe_read(layer, probabilities.sum(0)[None, : len(stored)])


@pytest.fixture(scope="session")
def attended():
    """The function that streams a hand-made trace."""
    return _attended


@pytest.fixture(scope="session")
def held():
    """The function that says which positions a layer holds."""
    return _held
