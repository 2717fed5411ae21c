"""Buffers of one stream, bound to both graphs once; between runs only their contents change."""

from __future__ import annotations

import math

import numpy as np

from synapnet_edge.config import SynapNetEdgeConfig


class OnnxStream:
    """State of one stream.

    Parameters
    ----------
    cfg : shape of the model.
    slots : entries written of a chunk.
    sessions : mapping
        The sessions of the graphs "decode", "chunk", "select" and "write" (of that many entries).
    """

    def __init__(self, cfg: SynapNetEdgeConfig, slots: int, sessions: dict) -> None:
        self.cfg, self.slots, self._sessions = cfg, slots, sessions
        self.fill, self.entries_held = 0, 0
        depth, heads, width, room = cfg.depth, cfg.heads, cfg.head_dim, cfg.max_entries + cfg.chunk_len
        self.tail = np.zeros((depth, cfg.conv_width - 1, cfg.inner), np.float32)
        self.a_keys, self.a_values = (
            np.zeros((depth, heads, cfg.chunk_len, width), np.float32) for _ in "kv"
        )
        self.a_bias = np.full((depth, cfg.chunk_len), -np.inf, np.float32)
        self.m_keys, self.m_values = (np.zeros((depth, heads, room, width), np.float32) for _ in "kv")
        self.m_bias = np.full((depth, room + 1), -np.inf, np.float32)
        self.m_bias[:, -1] = 0.0
        self.salience = np.zeros((depth, cfg.chunk_len), np.float32)
        # Name -> (graph, tokens, whether logits are asked for too).
        kinds = {"decode": ("decode", 1, False), "answer": ("decode", 1, True)}
        kinds["chunk"] = ("chunk", cfg.chunk_len, False)
        self._graphs = {
            name: _Bound(self, sessions[graph], tokens, logits)
            for name, (graph, tokens, logits) in kinds.items()
        }

    def run(self, graph: str, ids: np.ndarray, options) -> None:
        """Read one token ("decode", or "answer" for its logits too) or a whole chunk; updates the state."""
        bound, cfg = self._graphs[graph], self.cfg
        bound.ids[:] = ids
        at = self.fill + np.arange(len(ids))
        bound.fill[:] = at
        if bound.log_seen is not None:
            bound.log_seen[:, 0] = np.log1p((at + self.entries_held).astype(np.float32))
        bound.session.run_with_iobinding(bound.binding, options)
        found = bound.outputs
        for layer in range(cfg.depth):
            if cfg.conv_width > 1:
                self.tail[layer] = found[f"tail_out.{layer}"]
            if cfg.use_memory:
                part = slice(cfg.max_entries + self.fill, cfg.max_entries + self.fill + len(ids))
                self.m_keys[layer, :, part] = found[f"m_key.{layer}"]
                self.m_values[layer, :, part] = found[f"m_value.{layer}"]
            if cfg.use_attention and len(ids) == 1:
                self.a_keys[layer, :, self.fill] = found[f"a_key.{layer}"][:, 0]
                self.a_values[layer, :, self.fill] = found[f"a_value.{layer}"][:, 0]
        self.salience[:, self.fill : self.fill + len(ids)] = found["salience"]
        if len(ids) == 1:
            self.m_bias[:, cfg.max_entries + self.fill] = found["salience"][:, 0]
            self.a_bias[:, self.fill] = found["salience"][:, 0]
        self._last = found["hidden"]
        self.fill += len(ids)
        if self.fill == cfg.chunk_len:
            self._end_chunk()
        elif self.fill % (cfg.window // 2) == 0:
            self._select()

    def hidden(self, tokens: int) -> np.ndarray:
        """Hidden states of the last run, [tokens, D]."""
        return self._last[:tokens]

    def logits(self) -> np.ndarray:
        """Logits of the last run of "answer", [C]."""
        return self._graphs["answer"].outputs["logits"][0]

    def entries(self, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keys and values [H, N, d] and log-salience [N] of the entries."""
        n = self.entries_held
        return self.m_keys[layer, :, :n], self.m_values[layer, :, :n], self.m_bias[layer, :n]

    def _select(self) -> None:
        """At the start of a block of tokens: which keys before its window attention still sees."""
        if self.cfg.use_attention:
            feed = {"salience": self.salience, "fill": np.array([self.fill])}
            (self.a_bias[:],) = self._sessions["select"].run(None, feed)

    def _end_chunk(self) -> None:
        """Write the most salient tokens; of a full memory the most salient entries stay, in order."""
        if self.cfg.use_memory:
            feed = {"salience": self.salience}
            for layer in range(self.cfg.depth):
                for name in ("m_keys", "m_values", "m_bias"):
                    feed[f"{name}.{layer}"] = getattr(self, name)[layer]
            writer = self._sessions["write"]
            for output, found in zip(writer.get_outputs(), writer.run(None, feed), strict=True):
                name, layer = output.name.split("_out.")
                getattr(self, name)[int(layer)] = found
            self.entries_held = min(self.cfg.max_entries, self.entries_held + self.slots)
        self.fill = 0
        self._select()


class _Bound:
    """One graph with its inputs bound to a stream's buffers, and its outputs to buffers of its own."""

    def __init__(self, stream: OnnxStream, session, tokens: int, logits: bool) -> None:
        self.session, self.binding = session, session.io_binding()
        self.ids, self.fill = np.zeros(tokens, np.int64), np.zeros(tokens, np.int64)
        self.log_seen = None
        self.outputs: dict[str, np.ndarray] = {}
        held = {"ids": self.ids, "fill": self.fill}
        for argument in session.get_inputs():
            name, _, layer = argument.name.partition(".")
            if name == "log_seen":
                self.log_seen = held[name] = np.zeros((tokens, 1), np.float32)
            if layer:
                buffer = getattr(stream, name)[int(layer)]
                size = math.prod(argument.shape)
                # The graph of a chunk reads the entries' part of the biases only.
                held[argument.name] = buffer if buffer.size == size else buffer[:size]
            array = held[argument.name]
            self.binding.bind_input(
                argument.name, "cpu", 0, array.dtype.type, argument.shape, array.ctypes.data
            )
        for argument in session.get_outputs():
            if argument.name == "logits" and not logits:
                continue
            array = self.outputs[argument.name] = np.zeros(argument.shape, np.float32)
            self.binding.bind_output(argument.name, "cpu", 0, np.float32, argument.shape, array.ctypes.data)
        self._alive = held
