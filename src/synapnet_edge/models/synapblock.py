"""One layer: SSM, sparse attention and memory in parallel, bridged, then a feed-forward."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models.episodic_memory import WriteableMemory
from synapnet_edge.models.scale_bridge import ScaleBridge
from synapnet_edge.models.sparse_attention import SparseEventAttention
from synapnet_edge.models.ssm import SimpleSSM
from synapnet_edge.models.state import EntryStore, LayerState


class FeedForward(nn.Module):
    """`down(gelu(up(x)))`: on a CPU the cheapest activation per parameter of those tried."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class SynapBlock(nn.Module):
    """`x + bridge(ssm, attention, memory)`, then `x + ff`; see the package's architecture page."""

    def __init__(self, cfg: SynapNetEdgeConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(cfg.dim, bias=False)
        self.ssm = SimpleSSM(cfg.dim, cfg.inner, cfg.conv_width)
        self.attention = SparseEventAttention(cfg.dim, cfg.inner, cfg.heads, cfg.window, cfg.top_k)
        self.memory = WriteableMemory(cfg.dim, cfg.inner, cfg.heads)
        self.bridge = ScaleBridge(cfg.dim)
        self.ff_norm = nn.LayerNorm(cfg.dim, bias=False)
        self.ff = FeedForward(cfg.dim, cfg.ff_hidden)

    def forward(self, x: Tensor, state: LayerState, store: EntryStore, layer: int) -> Tensor:
        """Process one piece x [B, T, D] that stays inside a chunk; updates `state` in place."""
        u = self.norm(x)
        ssm, bound, state.conv_tail = self.ssm(u, state.conv_tail)
        attention, state.keys, state.values, state.log_salience = self.attention(
            bound, state.keys, state.values, state.log_salience
        )
        memory = self.memory.read(bound, store, layer)
        state.bound = bound if state.bound is None else torch.cat([state.bound, bound], dim=1)
        x = x + self.bridge(u, [ssm, attention, memory])
        return x + self.ff(self.ff_norm(x))

    def write(
        self,
        state: LayerState,
        store: EntryStore,
        layer: int,
        slots: int,
        first_position: int,
        quantizer: Callable[[Tensor], Tensor] | None,
    ) -> None:
        """Write the finished chunk's salient tokens to the memory and forget the chunk."""
        self.memory.write(state.bound, state.log_salience, slots, first_position, store, layer, quantizer)
        state.clear_chunk()
