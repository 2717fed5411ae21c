"""Streaming rows under a budget: the policy decides chunk by chunk, or once when it has seen the question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from synapnet_edge.evaluation.eviction_measures import FullPass, reading_layer, target_held
from synapnet_edge.evaluation.fork import fork
from synapnet_edge.memory.store import EpisodicStore
from synapnet_edge.memory.traces import ReadTrace
from synapnet_edge.models.state import EntryStore, ModelState
from synapnet_edge.models.stores import UnboundedStore
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.tasks.base import TaskBatch


class Streamed(NamedTuple):
    """A batch of B rows.

    Attributes
    ----------
    correct : array
        [B] bool.
    held : array
        [L, B] bool, whether a layer holds the target when the question is read.
    positions : Tensor
        [L, B, N] positions held then, -1 = empty.
    bytes : array
        [B] most bytes measured.
    entries : float
        Mean entries per layer.
    state_bytes : int
        Bytes per stream that the policy keeps outside of the entries.
    """

    correct: np.ndarray
    held: np.ndarray
    positions: Tensor
    bytes: np.ndarray
    entries: float
    state_bytes: int


def open_chunk(model: SynapNetEdge, length: int) -> int:
    """First token of the chunk in which a row ends; raises ValueError if it is the first chunk."""
    open_from = (length - 1) // model.cfg.chunk_len * model.cfg.chunk_len
    if open_from == 0:
        raise ValueError(
            f"rows of {length} tokens fit in one chunk of {model.cfg.chunk_len}: nothing to evict"
        )
    return open_from


def full_memory(model: SynapNetEdge, part: TaskBatch, width: int) -> FullPass:
    """Stream the rows without eviction and record what is read."""
    store = UnboundedStore(record_mass=True)
    *_, correct = _answer(model, part, store)
    trace = ReadTrace.from_store(store, model.cfg.depth, model.cfg.episodic_slots)
    chunk = open_chunk(model, part.input_ids.shape[1]) // model.cfg.chunk_len
    return FullPass(correct, trace, reading_layer(trace, part.meta["target_needle"], width, chunk))


def stream_budgeted(model: SynapNetEdge, part: TaskBatch, store: EpisodicStore, width: int) -> Streamed:
    """Stream the rows under the store's budget: every eviction sees finished chunks only."""
    steps = _answer(model, part, store)
    next(steps)
    # What counts is what the query can read: after its chunk the store evicts once more.
    return _measured(model, part, store, width, steps)


def stream_query_aware(
    model: SynapNetEdge, part: TaskBatch, store: EpisodicStore, budgets: list[int], width: int
) -> Iterator[Streamed]:
    """Read context and question with full memory, compress once, and answer from what is left.

    The protocol of the methods that compress a prompt: the question's own reads take part in the choice.

    Parameters
    ----------
    store : EpisodicStore
        Large enough for every entry.
    budgets : list of int
        Bytes per stream; one result each.
    """
    ids = _ids(model, part)
    open_from = open_chunk(model, ids.shape[1])
    state = model.init_state(len(part), store=store)
    _context(model, ids, state, open_from)
    before = fork(state)
    model.step(ids[:, open_from:], state)
    for budget in budgets:
        small = store.compressed(budget, before=open_from)
        again = fork(before)
        again.store = small
        yield _measured(model, part, small, width, iter([_read_answer(model, part, ids, again, open_from)]))


def _measured(
    model: SynapNetEdge,
    part: TaskBatch,
    store: EpisodicStore,
    width: int,
    answer: Iterator[np.ndarray | None],
) -> Streamed:
    open_from = open_chunk(model, part.input_ids.shape[1])
    positions = store.held_positions().cpu().clone()
    held = target_held(positions, part.meta["target_needle"], width, open_from)
    used, entries = store.bytes_used(), float(store.live_entries().float().mean())
    correct = next(answer)
    used = torch.maximum(used, store.bytes_used()).cpu().numpy()
    if used.max() > store.budget:
        raise RuntimeError(f"the store holds {used.max()} bytes, its budget is {store.budget}")
    return Streamed(correct, held, positions, used, entries, store.policy.state_bytes())


def _answer(model: SynapNetEdge, part: TaskBatch, store: EntryStore) -> Iterator[np.ndarray | None]:
    """Stream the rows; yield once before the query's chunk is read and once, with correct [B], after it."""
    ids = _ids(model, part)
    open_from = open_chunk(model, ids.shape[1])
    state = model.init_state(len(part), store=store)
    _context(model, ids, state, open_from)
    yield None
    yield _read_answer(model, part, ids, state, open_from)


def _ids(model: SynapNetEdge, part: TaskBatch) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(part.input_ids)).to(model.embed.token.weight.device)


def _context(model: SynapNetEdge, ids: Tensor, state: ModelState, open_from: int) -> None:
    for start in range(0, open_from, model.cfg.chunk_len):
        model.step(ids[:, start : start + model.cfg.chunk_len], state)


def _read_answer(
    model: SynapNetEdge, part: TaskBatch, ids: Tensor, state: ModelState, open_from: int
) -> np.ndarray:
    """Correct [B] after the question's chunk."""
    if (part.target_pos < open_from).any():
        raise ValueError(f"questions must stand in the last chunk (from token {open_from} on)")
    hidden, _ = model.step(ids[:, open_from:], state)
    asked = torch.from_numpy(part.target_pos[:, 0] - open_from).to(hidden.device)
    logits = model.read_out(hidden[torch.arange(len(part), device=hidden.device), asked])
    return logits.argmax(dim=-1).cpu().numpy() == part.targets[:, 0]
