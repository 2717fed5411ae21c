"""Hymba-style hybrid heads (arXiv 2411.13676), written from the paper: no library offers the mixer.

One projection feeds attention heads and SSM heads on the same tokens; both outputs are normalised, scaled
and averaged, because their magnitudes differ by an order. Learned meta tokens stand before every sequence
and stay visible; three layers see everything, the others a window; pairs of local layers share keys and
values. Different from the paper: the SSM heads are Mamba-2's (scalar decay) with the paper's small state,
because a Mamba-1 scan has no form in matrix products and runs token by token without a GPU kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.baselines import folds
from synapnet_edge.baselines.attention import KVState, attend, attend_locally, rotate
from synapnet_edge.baselines.base import BASELINES, Baseline, StreamState
from synapnet_edge.baselines.shape import Shape
from synapnet_edge.baselines.ssd import SSMState, causal_conv, ssd_scan
from synapnet_edge.quantization.topology import FoldGroup

CONV = 4  # taps of the convolution in front of the SSM heads


@dataclass
class HymbaState:
    """The SSM's state, and keys and values: None in a layer that reads those of the layer below."""

    ssm: SSMState
    kv: KVState | None

    def nbytes(self) -> int:
        """Bytes for one stream."""
        return self.ssm.nbytes() + (self.kv.nbytes() if self.kv else 0)


class HymbaMixer(nn.Module):
    """`out_proj((g_a * RMSNorm(attention) + g_s * RMSNorm(ssm)) / 2)` of one input projection.

    Parameters
    ----------
    shares : bool
        Whether keys and values are those of the layer below; the projection then lacks them.
    everywhere : bool
        Whether the attention is global instead of a window and the meta tokens.
    """

    def __init__(self, cfg: Shape, shares: bool, everywhere: bool) -> None:
        super().__init__()
        self.cfg, self.shares, self.everywhere = cfg, shares, everywhere
        inner, state = cfg.ssm_inner, cfg.ssm_state
        if cfg.heads * cfg.head_dim != inner:
            expected = f"heads * head_dim = {cfg.heads * cfg.head_dim}: branches are averaged"
            raise ValueError(f"hymba.ssm_inner: found {inner}, expected {expected}")
        cached = 0 if shares else 2 * cfg.kv_heads * cfg.head_dim
        self.sizes = [inner, cached, inner, inner, 2 * state, cfg.ssm_heads]  # q, kv, x, gate, B and C, dt
        self.in_proj = nn.Linear(cfg.dim, sum(self.sizes), bias=False)
        self.conv = nn.Conv1d(inner, inner, CONV, groups=inner)
        self.A_log = nn.Parameter(torch.empty(cfg.ssm_heads).uniform_(1, 16).log())
        steps = torch.empty(cfg.ssm_heads).uniform_(math.log(1e-3), math.log(1e-1)).exp()
        self.dt_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))
        self.D = nn.Parameter(torch.ones(cfg.ssm_heads))
        self.attention_norm, self.ssm_norm = nn.RMSNorm(inner, eps=1e-5), nn.RMSNorm(inner, eps=1e-5)
        self.out_proj = nn.Linear(inner, cfg.dim, bias=False)
        for linear in (self.in_proj, self.out_proj):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def forward(self, u: Tensor, state: HymbaState, kv: KVState, cos: Tensor, sin: Tensor) -> Tensor:
        """Output [B, T, D]; `kv` holds what this layer attends to."""
        q, cached, x, gate, bound, dt = self.in_proj(u).split(self.sizes, -1)
        attended = self._attend(q, cached, kv, cos, sin)
        x, state.ssm.tail = causal_conv(x, state.ssm.tail, self.conv.weight, self.conv.bias)
        heads = F.silu(x).unflatten(-1, (self.cfg.ssm_heads, self.cfg.ssm_head_dim))
        b, c = bound.chunk(2, -1)
        dt = F.softplus(dt.float() + self.dt_bias)
        decay = -self.A_log.float().exp()
        y, state.ssm.state = ssd_scan(heads, dt, decay, b, c, self.D, state.ssm.state)
        mixed = self.ssm_norm((y.flatten(2) * F.silu(gate)).float())
        return self.out_proj((self.attention_norm(attended.float()) + mixed) / 2)

    def _attend(self, q: Tensor, cached: Tensor, kv: KVState, cos: Tensor, sin: Tensor) -> Tensor:
        cfg = self.cfg
        q = rotate(q.unflatten(-1, (cfg.heads, cfg.head_dim)).transpose(1, 2), cos, sin)
        if not self.shares:
            k, v = cached.unflatten(-1, (2 * cfg.kv_heads, cfg.head_dim)).transpose(1, 2).chunk(2, 1)
            kv.append(rotate(k, cos, sin), v)
        if self.everywhere:
            return attend(q, kv.keys, kv.values)
        return attend_locally(q, kv.keys, kv.values, cfg.window, cfg.meta_tokens)


class SwiGLU(nn.Module):
    """`down(silu(gate(x)) * up(x))`."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)
        for linear in (self.gate_proj, self.up_proj, self.down_proj):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class HymbaBlock(nn.Module):
    """The mixer, then a feed-forward."""

    def __init__(self, cfg: Shape, shares: bool, everywhere: bool) -> None:
        super().__init__()
        self.norm, self.mixer = nn.RMSNorm(cfg.dim, eps=1e-5), HymbaMixer(cfg, shares, everywhere)
        self.ff_norm, self.ff = nn.RMSNorm(cfg.dim, eps=1e-5), SwiGLU(cfg.dim, cfg.ff_hidden)

    def forward(self, x: Tensor, state: HymbaState, kv: KVState, **context: Any) -> Tensor:
        x = x + self.mixer(self.norm(x), state, kv, **context)
        return x + self.ff(self.ff_norm(x))

    def fold_groups(self, at: str, cfg: Shape) -> list[FoldGroup]:
        """Where scales may be folded. The mixer is judged by its projection's output: keys may be shared."""
        norm = ((f"{at}.norm.weight", None),)
        branches = tuple((f"{at}.mixer.{name}_norm.weight", None) for name in ("attention", "ssm"))
        return [
            FoldGroup((f"{at}.mixer.in_proj",), norm),
            FoldGroup((f"{at}.mixer.out_proj",), branches),
            *folds.feed_forward(at),
        ]


@BASELINES.register("hymba")
class Hymba(Baseline):
    """Hymba-style hybrid-head model."""

    def build(self) -> tuple[nn.Embedding, nn.ModuleList, nn.Module]:
        cfg = self.cfg
        shares, everywhere = layer_plan(cfg.depth)
        embed = nn.Embedding(cfg.vocab_size, cfg.dim)
        nn.init.normal_(embed.weight, std=cfg.dim**-0.5)
        self.meta = nn.Parameter(torch.randn(cfg.meta_tokens, cfg.dim) * cfg.dim**-0.5)
        blocks = nn.ModuleList(HymbaBlock(cfg, *kind) for kind in zip(shares, everywhere, strict=True))
        return embed, blocks, nn.RMSNorm(cfg.dim, eps=1e-5)

    def init_state(self, batch_size: int) -> StreamState:
        """State after the meta tokens."""
        state = super().init_state(batch_size)
        self.advance(self.meta.expand(batch_size, -1, -1), state)
        return state

    def layer_states(self, batch: int) -> list[HymbaState]:
        cfg, weight = self.cfg, self.embed.token.weight
        size = (batch, cfg.ssm_heads, cfg.ssm_head_dim, cfg.ssm_state)
        return [
            HymbaState(
                SSMState(weight.new_zeros(size), weight.new_zeros(batch, CONV - 1, cfg.ssm_inner)),
                None if block.mixer.shares else KVState(),
            )
            for block in self.blocks
        ]

    def advance(self, x: Tensor, state: StreamState) -> Tensor:
        context = self.context(state, x.shape[1])
        kv = None
        for block, layer in zip(self.blocks, state.layers, strict=True):
            kv = layer.kv or kv
            x = block(x, layer, kv, **context)
        for block, layer in zip(self.blocks, state.layers, strict=True):
            if layer.kv is not None and not block.mixer.everywhere:
                layer.kv.keep(self.cfg.meta_tokens, self.cfg.window - 1)
        state.tokens += x.shape[1]
        return x

    def context(self, state: StreamState, length: int) -> dict[str, Any]:
        return self.rotary_context(state, length)


def layer_plan(depth: int) -> tuple[list[bool], list[bool]]:
    """Which layers share the keys and values of the layer below, and which attend everywhere.

    Global: first, middle, last. The local layers between two global ones form pairs; the second shares.
    """
    everywhere = [layer in (0, depth // 2, depth - 1) for layer in range(depth)]
    shares, run = [], 0
    for is_global in everywhere:
        run = 0 if is_global else run + 1
        shares.append(run > 0 and run % 2 == 0)
    return shares, everywhere
