"""What one stream carries between calls of the kernels, and the buffers a call works in."""

from __future__ import annotations

import numpy as np

from synapnet_edge.memory.compiled.kernels import load_kernels
from synapnet_edge.memory.in_place import StoredEntries
from synapnet_edge.runtime.fast import table as t
from synapnet_edge.runtime.fast.layout import Arena, padded
from synapnet_edge.runtime.fast.plan import Plan


class Stream:
    """State of one stream: convolution tails, the open chunk, and the entries it reads.

    Parameters
    ----------
    plan : Plan
    chunk_len, slots : int
        Tokens of a chunk and entries written of it.
    capacity : int or None
        Entries of the stream's own memory; None if a store holds them and `show` copies them here.
    int8 : bool
        Whether entries are rounded to INT8 levels when they are written.
    """

    def __init__(self, plan: Plan, chunk_len: int, slots: int, capacity: int | None, int8: bool) -> None:
        cfg = plan.cfg
        self.plan, self.arena = plan, Arena()
        self.heads, self.width, self.width_pad = cfg.heads, cfg.head_dim, padded(cfg.head_dim, 16)
        self.blocks = -(-chunk_len // 16)
        self.layers = self.arena.new((cfg.depth, t.STREAM_LAYER_WORDS), np.int64)
        self.words = self.arena.new(t.STREAM_WORDS, np.int64)
        self.words[[t.CHUNK, t.SLOTS, t.CAPACITY]] = chunk_len, slots, capacity or 0
        self.words[[t.OWN_STORE, t.ENTRY_INT8]] = capacity is not None, int8
        self.words[t.STREAM_LAYERS] = self.layers.ctypes.data
        self.address = self.words.ctypes.data
        keys = (self.heads, self.blocks, self.width, 16)
        values = (self.heads, self.blocks * 16, self.width_pad)
        self.memory_keys, self.memory_values, self.log_salience, self.counts = [], [], [], []
        for words in self.layers:
            words[t.TAIL] = self._new((cfg.conv_width, plan.inner_pad)).ctypes.data
            words[t.A_KEYS], words[t.A_VALUES] = self._new(keys).ctypes.data, self._new(values).ctypes.data
            for place, shape, held in (
                (t.M_KEYS, keys, self.memory_keys),
                (t.M_VALUES, values, self.memory_values),
                (t.LOG_SALIENCE, (self.blocks * 16,), self.log_salience),
                (t.S_COUNT, (1,), self.counts),
            ):
                held.append(self._new(shape))
                words[place] = held[-1].ctypes.data
        self.room, self._entries = 0, Arena()
        self.mass: list[np.ndarray] = []
        self._placed: dict[int, tuple] = {}
        self._kept = np.empty(0, np.float32)
        self.reserve(capacity or 0)

    def _new(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.arena.new(shape, np.float32)

    def reserve(self, entries: int, threads: int = 0) -> None:
        """Make room for `entries` readable entries in every layer (what was there is lost).

        With `threads` the read mass is collected too, for each thread on its own.
        """
        room = -(-entries // 16)
        if room <= self.room:
            return
        self.room, self._entries = room, Arena()
        depth = len(self.layers)
        self.keys = self._entries.new((depth, self.heads, room, self.width, 16), np.float32)
        self.values = self._entries.new((depth, self.heads, room * 16, self.width_pad), np.float32)
        self.bias = self._entries.new((depth, room * 16), np.float32)
        self.positions = self._entries.new((depth, room * 16), np.int64)
        self.bias[:] = -np.inf
        masses = (self._entries.new((threads, room * 16), np.float32) for _ in self.layers)
        self.mass = list(masses) if threads else []
        for layer, words in enumerate(self.layers):
            words[t.S_KEYS], words[t.S_VALUES] = self.keys[layer].ctypes.data, self.values[layer].ctypes.data
            words[t.S_BIAS] = self.bias[layer].ctypes.data
            words[t.S_POSITIONS], words[t.S_ROOM] = self.positions[layer].ctypes.data, room
            if self.mass:
                words[t.MASS], words[t.MASS_STEP] = self.mass[layer].ctypes.data, 64 * room

    def show(self, layer: int, keys: np.ndarray, values: np.ndarray, bias: np.ndarray, count: float) -> None:
        """Copy the entries that a store shows, keys and values [H, N, d]; room must have been reserved."""
        entries = keys.shape[1]
        whole = -(-entries // 16)
        padded_keys = np.zeros((self.heads, whole * 16, self.width), np.float32)
        padded_keys[:, :entries] = keys
        blocks = padded_keys.reshape(self.heads, whole, 16, self.width).transpose(0, 1, 3, 2)
        self.keys[layer, :, :whole] = blocks
        self.values[layer, :, :entries, : self.width] = values
        self.bias[layer] = -np.inf
        self.bias[layer, :entries] = bias
        self.counts[layer][0] = count
        self.layers[layer, t.S_ENTRIES] = entries

    def place(self, layer: int, stored: StoredEntries, number: int, threads: int) -> None:
        """Let the kernels read the entries of stream `number` of a store where they are.

        The places are those of this moment: to be called again when the store has changed. With `threads` the
        read mass is collected too, for each thread on its own.
        """
        words, entries = self.layers[layer], stored.bias.shape[1]
        table, bias = stored.table(number), stored.bias[number]
        self._placed[layer] = table, bias  # whose addresses the kernels get
        words[t.S_PARTS], words[t.S_PART_COUNT] = table.address, table.blocks
        words[t.S_BIAS], words[t.S_ENTRIES] = bias.data_ptr(), entries
        self.counts[layer][0] = float(stored.count[number])
        if threads:
            self.mass = self.mass or [np.zeros((threads, 0), np.float32)] * len(self.layers)
            if self.mass[layer].shape[1] != entries:
                self.mass[layer] = np.zeros((threads, entries), np.float32)
            if self._kept.size < (size := stored.kept_floats(1)):
                self._kept = np.empty(size, np.float32)
            words[t.MASS], words[t.MASS_STEP] = self.mass[layer].ctypes.data, 4 * entries
            self.layers[:, t.S_KEPT] = self._kept.ctypes.data

    def pending(self, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keys and values [H, C, d] and log-salience [C] of the open chunk, as the memory writes them."""
        chunk = int(self.words[t.CHUNK])
        keys = self.memory_keys[layer].transpose(0, 1, 3, 2).reshape(self.heads, -1, self.width)
        values = self.memory_values[layer][:, :chunk, : self.width]
        return keys[:, :chunk], values, self.log_salience[layer][:chunk]

    def entries(self, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Readable keys and values [H, N, d], bias and positions [N]."""
        count = int(self.layers[layer, t.S_ENTRIES])
        keys = self.keys[layer].transpose(0, 1, 3, 2).reshape(self.heads, -1, self.width)[:, :count]
        values = self.values[layer][:, :count, : self.width]
        return keys, values, self.bias[layer][:count], self.positions[layer][:count]


class Space:
    """Buffers for pieces of up to `piece` tokens, one set for all streams of a session."""

    def __init__(self, plan: Plan, piece: int, threads: int, kernels: dict[int, int]) -> None:
        cfg = plan.cfg
        self.threads, self.arena, self._cfg = threads, Arena(), cfg
        self.words = self.arena.new(t.SPACE_WORDS, np.int64)
        widest = max(plan.dim_pad, plan.inner_pad, plan.ff_pad)
        q_step = 4 * cfg.heads * padded(cfg.head_dim, 16)
        steps = {
            t.D_STEP: plan.d_step,
            t.I_STEP: plan.i_step,
            t.F_STEP: plan.f_step,
            t.Q_STEP: q_step,
            t.R_STEP: widest,
            t.G_STEP: 4 * (widest // 64),
        }
        rows = {
            t.X: plan.d_step,
            t.NORMED: plan.d_step,
            t.INPUTS: 2 * plan.i_step,
            t.BOUND: plan.i_step,
            t.LOOKED: plan.i_step,
            t.GATED: plan.i_step,
            t.QUERY_A: q_step,
            t.QUERY_M: q_step,
            t.PATHS: 4 * plan.d_step,
            t.HIDDEN: plan.f_step,
            t.PROJECTED: 3 * plan.d_step,
            t.ROUNDED: widest,
            t.X_SCALES: steps[t.G_STEP],
            t.X_SUMS: steps[t.G_STEP],
        }
        for place, size in rows.items():
            self.words[place] = self.arena.new(piece * size + 64, np.uint8).ctypes.data
        self.words[list(steps)] = list(steps.values())
        self.words[t.WAIT] = self.arena.new(32, np.int32).ctypes.data
        self.words[t.PIECE] = piece
        self.words[list(kernels)] = list(kernels.values())
        self._tables = self.arena.new((threads, t.THREAD_WORDS), np.int64)
        for words in self._tables:
            words[t.UNPACKED] = self.arena.new(64 * widest, np.int8).ctypes.data
            words[t.STARTS] = self.arena.new(widest, np.int32).ctypes.data
            words[t.ACC] = self.arena.new(4 * padded(cfg.head_dim, 16) + 16, np.float32).ctypes.data
        self.words[t.THREADS] = self._tables.ctypes.data
        self.address = self.words.ctypes.data
        self._lines, self._scratch = 0, Arena()

    def serve_stores(self) -> None:
        """Make ready for reads of a store's entries in place (the memory's kernels are loaded for it)."""
        if self.words[t.ENTRIES]:
            return
        kernels, cfg, piece = load_kernels(), self._cfg, int(self.words[t.PIECE])
        self.words[t.ENTRIES] = kernels.attend.address
        for words in self._tables:
            tile = self.arena.new(kernels.space_floats(cfg.head_dim, piece), np.float32)
            tops = self.arena.new(2 * cfg.heads * piece, np.float32)
            words[[t.TILE, t.TOPS]] = tile.ctypes.data, tops.ctypes.data

    def reserve(self, lookups: int) -> None:
        """Make room for reads of `lookups` entries and open tokens."""
        if lookups <= self._lines:
            return
        lookups = max(lookups, 2 * self._lines)  # a growing store asks after every chunk
        self._lines, self._scratch = lookups, Arena()
        line = padded(lookups, 16) + 16
        for words in self._tables:
            for place, lines in ((t.LOGITS, 4), (t.BIAS, 4), (t.PADDED, 1), (t.RANKS, 1)):
                words[place] = self._scratch.new(lines * line, np.float32).ctypes.data
            words[t.LINE] = 4 * line
