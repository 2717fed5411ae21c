"""The `fast` backend: packed weights, int8 activations, one compiled call per piece."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synapnet_edge.memory.in_place import StoredEntries
from synapnet_edge.models.state import EntryStore, MemoryView
from synapnet_edge.quantization.memory_quantizer import MemoryQuantizer
from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.kernels import load_kernels
from synapnet_edge.runtime.fast.layout import aligned, padded
from synapnet_edge.runtime.fast.plan import Plan
from synapnet_edge.runtime.fast.stream import Space, Stream
from synapnet_edge.runtime.packed_file import PackedFile
from synapnet_edge.runtime.session import Session, check_ids


@dataclass
class FastState:
    """Streams in mid-air; the attributes that `ModelState` has too mean the same.

    `store` is None while each stream keeps its most salient entries itself.
    """

    streams: list[Stream]
    store: EntryStore | None
    chunk_len: int
    slots: int
    tokens: int = 0
    chunk_fill: int = 0

    def memory(self, layer: int) -> MemoryView | None:
        """The entries that the streams read in `layer`; None while a store has none."""
        if self.store is not None:
            return self.store.read(layer)
        keys, values, bias, _ = (
            np.stack(x) for x in zip(*(s.entries(layer) for s in self.streams), strict=True)
        )
        count = torch.tensor([float(s.counts[layer][0]) for s in self.streams])
        return MemoryView(*map(torch.from_numpy, (keys, values, bias)), count)

    def positions(self, layer: int) -> Tensor:
        """[B, N] positions of the entries in the streams' own memory."""
        return torch.from_numpy(np.stack([stream.entries(layer)[3] for stream in self.streams]))


class FastSession(Session):
    """Runs a packed file with compiled kernels.

    Activations that meet packed weights are rounded to int8 with one scale per token and 64 features, for one
    token and for many alike; FP16 weights meet float32 activations. With several threads, pieces of more than
    one token are shared out by tokens; results are the same bits for any number of threads. There may be
    many states, but only one caller at a time: the buffers of a step are shared.

    Parameters
    ----------
    file : PackedFile
    threads : int
    """

    backend = "fast"

    def __init__(self, file: PackedFile, threads: int = 1) -> None:
        super().__init__(file.cfg, file.variant, threads)
        self._kernels = load_kernels()
        self._plan = Plan(file)
        self._space = Space(self._plan, file.cfg.chunk_len, threads, self._kernels.KERNELS)
        self._space.reserve(file.cfg.max_entries + 2 * file.cfg.chunk_len)
        self._int8 = file.entries == "int8"
        self._pool = ThreadPoolExecutor(threads - 1, "synapnet-fast") if threads > 1 else None
        self._outputs = file.cfg.num_classes if file.cfg.head == "classification" else file.cfg.vocab_size

    def weight_bytes(self) -> int:
        return self._plan.nbytes

    def init_state(
        self,
        batch_size: int,
        store: EntryStore | None = None,
        *,
        chunk_len: int | None = None,
        write_share: float | None = None,
    ) -> FastState:
        chunk_len = chunk_len or self.cfg.chunk_len
        if not 1 <= chunk_len <= self.cfg.chunk_len:
            raise ValueError(f"chunk_len must be in 1..{self.cfg.chunk_len}, got {chunk_len}")
        if store is not None and (store.wants_blocks or store.wants_queries):
            raise ValueError(f"{store!r} wants single reads or queries, which only the PyTorch model shows")
        share = self.cfg.episodic_slots / self.cfg.chunk_len if write_share is None else write_share
        slots = max(1, math.ceil(share * chunk_len))
        capacity = self.cfg.max_entries if store is None else None
        streams = [Stream(self._plan, chunk_len, slots, capacity, self._int8) for _ in range(batch_size)]
        state = FastState(streams, store, chunk_len, slots)
        if store is not None:
            self._show(state)
        return state

    def step(self, ids: Tensor, state: FastState) -> tuple[Tensor, FastState]:
        return self._read(ids, state, None), state

    def decode(self, ids: Tensor, state: FastState) -> tuple[Tensor, FastState]:
        """See `Session.decode`; the logits come out of the same compiled call."""
        logits = np.empty((ids.shape[0], padded(self._outputs)), np.float32)
        self._read(ids, state, logits)
        return torch.from_numpy(logits[:, : self._outputs]), state

    def _read(self, ids: Tensor, state: FastState, logits: np.ndarray | None) -> Tensor:
        """Hidden states of ids; with `logits` [B, padded outputs] also the last tokens' logits."""
        check_ids(ids, self.cfg.vocab_size)
        if ids.shape[0] != len(state.streams):
            raise ValueError(f"ids of {ids.shape[0]} streams, the state has {len(state.streams)}")
        rows = np.ascontiguousarray(ids.numpy(), dtype=np.int64)
        batch, length = rows.shape
        width = self._plan.d_step // 4
        hidden = np.empty((batch, length, width), np.float32)
        start = 0
        while start < length:
            stop = min(length, start + state.chunk_len - state.chunk_fill)
            for number, stream in enumerate(state.streams):
                wanted = 0 if logits is None or stop < length else logits[number].ctypes.data
                self._piece(stream, rows[number, start:stop], hidden[number, start:stop], wanted)
            self._advance(state, stop - start)
            start = stop
        return torch.from_numpy(hidden[:, :, : self.cfg.dim])

    def read_out(self, hidden: Tensor) -> Tensor:
        rows = hidden.detach().reshape(-1, self.cfg.dim).to(torch.float32).numpy()
        room = self.cfg.chunk_len
        logits = np.empty((len(rows), padded(self._outputs)), np.float32)
        given = aligned((min(len(rows), room), self._plan.d_step // 4), np.float32)
        for start in range(0, len(rows), room):
            part = rows[start : start + room]
            given[: len(part), : self.cfg.dim] = part
            self._kernels.read_out(
                self._plan.head,
                self._plan.head_rounds,
                self.cfg.dim,
                self._space.address,
                given.ctypes.data,
                len(part),
                logits[start:].ctypes.data,
            )
        return torch.from_numpy(logits[:, : self._outputs]).reshape(*hidden.shape[:-1], self._outputs)

    def _piece(self, stream: Stream, ids: np.ndarray, out: np.ndarray, logits: int) -> None:
        first = (
            self._plan.model,
            stream.address,
            self._space.address,
            ids.ctypes.data,
            len(ids),
            out.ctypes.data,
        )
        threads = min(self.threads, len(ids))
        last = (threads, self._plan.head_rounds, logits)
        if threads == 1:
            self._kernels.run(*first, 0, *last)
            return
        others = [self._pool.submit(self._kernels.run, *first, index, *last) for index in range(1, threads)]
        self._kernels.run(*first, 0, *last)
        for other in others:
            other.result()

    def _advance(self, state: FastState, tokens: int) -> None:
        state.tokens += tokens
        state.chunk_fill = (state.chunk_fill + tokens) % state.chunk_len
        if state.chunk_fill == 0 and state.store is not None:
            self._hand_over(state)
        for stream in state.streams:
            stream.words[[t.FILL, t.TOKENS]] = state.chunk_fill, state.tokens

    def _hand_over(self, state: FastState) -> None:
        """Give a finished chunk to the store: what was read, what is written; and see what it shows then."""
        store = state.store
        for layer in range(self.cfg.depth if self.cfg.use_memory else 0):
            entries = int(state.streams[0].layers[layer, t.S_ENTRIES])
            if store.wants_mass and entries:
                mass = np.stack([stream.mass[layer].sum(0)[:entries] for stream in state.streams])
                store.observe_read(layer, torch.from_numpy(mass))
                for stream in state.streams:
                    stream.mass[layer][:] = 0
            pending = zip(*(stream.pending(layer) for stream in state.streams), strict=True)
            keys, values, salience = (torch.from_numpy(np.stack(x)) for x in pending)
            slots = min(state.slots, state.chunk_len)
            index = salience.topk(slots, dim=1).indices.sort(dim=1).values
            where = index[:, None, :, None].expand(-1, self.cfg.heads, -1, self.cfg.head_dim)
            rounding: Callable[[Tensor], Tensor] = MemoryQuantizer() if self._int8 else lambda x: x
            keys, values = (rounding(x.gather(2, where)) for x in (keys, values))
            first = state.tokens - state.chunk_len
            store.write(layer, keys, values, salience.gather(1, index), first + index)
        store.end_chunk()
        self._show(state)

    def _show(self, state: FastState) -> None:
        """Let the streams read what the store holds now: in place if it can be, else a copy."""
        stored = [state.store.in_place(layer) for layer in range(self.cfg.depth)]
        if all(isinstance(entries, StoredEntries) for entries in stored):
            self._space.serve_stores()
            threads = self.threads if state.store.wants_mass else 0
            for number, stream in enumerate(state.streams):
                for layer, entries in enumerate(stored):
                    stream.place(layer, entries, number, threads)
            return
        views = [state.store.read(layer) for layer in range(self.cfg.depth)]
        most = max((view.bias.shape[1] for view in views if view is not None), default=0)
        self._space.reserve(most + 2 * self.cfg.chunk_len + 64)
        for number, stream in enumerate(state.streams):
            if most > 16 * stream.room:
                stream.reserve(2 * most, self.threads if state.store.wants_mass else 0)
            for layer, view in enumerate(views):
                if view is not None:
                    parts = (x[number].float().numpy() for x in view[:3])
                    stream.show(layer, *parts, float(view.count[number]))
