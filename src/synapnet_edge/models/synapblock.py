"""One layer: SSM, sparse attention and memory in parallel, bridged, then a feed-forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models.chunk_views import stack_chunks
from synapnet_edge.models.episodic_memory import Pending, WriteableMemory
from synapnet_edge.models.salience_teacher import SalienceTeacher
from synapnet_edge.models.scale_bridge import PlainSum, ScaleBridge
from synapnet_edge.models.sparse_attention import Salience, SparseEventAttention
from synapnet_edge.models.ssm import SimpleSSM
from synapnet_edge.models.state import EntryStore, LayerState


class Write(NamedTuple):
    """How chunks are written to the memory.

    Attributes
    ----------
    slots : int
        Entries per chunk.
    first_position : int
        Position of the (first) chunk's first token.
    quantizer : callable or None
        Applied to keys and values of entries.
    start : int
        Position of the piece's first token.
    teacher : SalienceTeacher or None
        Watches the reads while training.
    prior : Tensor
        [B, T] float32, what the tokens of the piece are worth by themselves.
    """

    slots: int
    first_position: int
    quantizer: Callable[[Tensor], Tensor] | None
    start: int
    teacher: SalienceTeacher | None
    prior: Tensor


class FeedForward(nn.Module):
    """`down(silu(up(x)))`: on a CPU the cheapest activation per parameter of those tried."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.up(x)))


class SynapBlock(nn.Module):
    """`x + bridge(ssm, attention, memory)`, then `x + ff`; see the package's architecture page."""

    def __init__(self, cfg: SynapNetEdgeConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.norm = nn.LayerNorm(cfg.dim, bias=False)
        self.ssm = SimpleSSM(cfg.dim, cfg.inner, cfg.conv_width, cfg.use_ssm)
        sizes = (cfg.dim, cfg.inner, cfg.heads)
        self.salience = Salience(cfg.inner)
        self.attention = SparseEventAttention(*sizes, cfg.window, cfg.top_k) if cfg.use_attention else None
        self.memory = WriteableMemory(*sizes, cfg.use_ssmax) if cfg.use_memory else None
        pathways = cfg.use_ssm + cfg.use_attention + cfg.use_memory
        self.bridge = ScaleBridge(cfg.dim, pathways) if cfg.use_bridge else PlainSum()
        self.ff_norm = nn.LayerNorm(cfg.dim, bias=False)
        self.ff = FeedForward(cfg.dim, cfg.ff_hidden)

    def initial_state(self, batch: int, device: torch.device) -> LayerState:
        """State of `batch` streams that have seen nothing."""
        return LayerState(self.ssm.initial_state(batch, device))

    def forward(
        self, x: Tensor, state: LayerState, store: EntryStore, layer: int, write: Write, chunks: int = 1
    ) -> Tensor:
        """Process x [B, T, D]: a piece inside one chunk, or `chunks` > 1 whole chunks at once.

        Updates `state` in place. Several chunks are written to the memory here; a single one is written by
        `write` when it is full.
        """
        u = self.norm(x)
        bound, inputs, state.conv_tail = self.ssm.bind(u, state.conv_tail)
        outputs = []
        if self.cfg.use_ssm:
            outputs.append(self.ssm(u, bound))
        looked_up = bound if self.cfg.use_preconv else F.silu(inputs)
        salience = self.salience(looked_up, write.prior)
        state.log_salience = _append(state.log_salience, salience, 1)
        if self.attention is not None:
            outputs.append(self._attend(looked_up, state, chunks))
        if self.memory is not None:
            outputs.append(self._remember(looked_up, state, store, layer, write, chunks))
        if chunks > 1:
            state.clear_chunk()
        x = x + self.bridge(u, outputs)
        return x + self.ff(self.ff_norm(x))

    def write(self, state: LayerState, store: EntryStore, layer: int, write: Write) -> None:
        """Write the finished chunk's salient tokens to the memory and forget the chunk."""
        if self.memory is not None:
            pending = Pending(state.memory_keys, state.memory_values, state.log_salience)
            entries, index = self.memory.select(pending, write.slots, 1, write.quantizer)
            store.write(layer, *entries, write.first_position + index)
        state.clear_chunk()

    def _attend(self, bound: Tensor, state: LayerState, chunks: int) -> Tensor:
        keys, values = self.attention.project(bound)
        if chunks == 1:
            state.keys, state.values = _append(state.keys, keys, 2), _append(state.values, values, 2)
            return self.attention(bound, state.keys, state.values, state.log_salience)
        out = self.attention(
            bound.unflatten(1, (chunks, -1)).flatten(0, 1),
            *(stack_chunks(part, chunks) for part in (keys, values, state.log_salience)),
        )
        return out.unflatten(0, (-1, chunks)).flatten(1, 2)

    def _remember(
        self, bound: Tensor, state: LayerState, store: EntryStore, layer: int, write: Write, chunks: int
    ) -> Tensor:
        keys, values = self.memory.project(bound)
        state.memory_keys = _append(state.memory_keys, keys, 2)
        state.memory_values = _append(state.memory_values, values, 2)
        pending = Pending(state.memory_keys, state.memory_values, state.log_salience)
        entries = index = None
        if chunks > 1:
            entries, index = self.memory.select(pending, write.slots, chunks, write.quantizer)

        def watch(probabilities: Tensor, kept: Tensor | None) -> None:
            alone = self.salience(bound.detach(), write.prior)
            at = write.start
            write.teacher.observe(probabilities, pending.log_salience, at, chunks, index, kept, alone)

        watching = watch if write.teacher is not None else None
        read = self.memory.read(bound, pending, store, layer, entries, chunks, watching)
        if chunks > 1:
            store.write(layer, *entries, write.first_position + index)
        return read


def _append(old: Tensor | None, new: Tensor, dim: int) -> Tensor:
    return new if old is None else torch.cat([old, new], dim=dim)
