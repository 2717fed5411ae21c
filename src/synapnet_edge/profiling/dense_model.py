"""A dense model of the same shape, as the arm that shows what the structure of the chunks saves.

Width, depth, heads, feed-forward, vocabulary and head are those of the configuration. What differs is what
such models usually do: learned absolute positions, attention of every token to every other one in both
directions, a convolution that looks both ways, a memory written from the whole sequence and read by all of
it, and a dense map of all three pathways onto each other. Random weights: only its speed and memory count.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.config import SynapNetEdgeConfig

PATHWAYS = 3


class DenseBlock(nn.Module):
    """Convolution, full attention and slot memory side by side, a dense bridge, a feed-forward."""

    def __init__(self, cfg: SynapNetEdgeConfig) -> None:
        super().__init__()
        dim, inner = cfg.dim, cfg.inner
        self.heads, self.slots = cfg.heads, cfg.episodic_slots
        self.norm, self.ff_norm = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.in_proj, self.gate_proj = nn.Linear(dim, inner, bias=False), nn.Linear(dim, inner, bias=False)
        width = 2 * cfg.conv_width + 1
        self.conv = nn.Conv1d(inner, inner, width, padding=cfg.conv_width, groups=inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.salience = nn.Linear(dim, 1)
        self.memory_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.memory_out = nn.Linear(dim, dim, bias=False)
        self.bridge = nn.Linear(PATHWAYS * dim, PATHWAYS * dim)
        self.up = nn.Linear(dim, cfg.ff_hidden, bias=False)
        self.down = nn.Linear(cfg.ff_hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        u = self.norm(x)
        salience = F.logsigmoid(self.salience(u)).squeeze(-1)
        mixed = self.bridge(
            torch.cat([self._convolve(u), self._attend(u, salience), self._recall(u, salience)], -1)
        )
        x = x + mixed.unflatten(-1, (PATHWAYS, -1)).sum(-2)
        return x + self.down(F.silu(self.up(self.ff_norm(x))))

    def _convolve(self, u: Tensor) -> Tensor:
        states = self.conv(self.in_proj(u).transpose(1, 2)).transpose(1, 2)
        return self.out_proj(F.silu(states) * F.silu(self.gate_proj(u)))

    def _attend(self, u: Tensor, salience: Tensor) -> Tensor:
        query, keys, values = self._heads(self.qkv(u))
        out = F.scaled_dot_product_attention(query, keys, values, attn_mask=salience[:, None, None, :])
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def _recall(self, u: Tensor, salience: Tensor) -> Tensor:
        query, keys, values = self._heads(self.memory_qkv(u))
        chosen = salience.topk(min(self.slots, u.shape[1]), dim=1).indices
        index = chosen[:, None, :, None].expand(-1, self.heads, -1, keys.shape[-1])
        out = F.scaled_dot_product_attention(query, keys.gather(2, index), values.gather(2, index))
        return self.memory_out(out.transpose(1, 2).flatten(2))

    def _heads(self, packed: Tensor) -> tuple[Tensor, ...]:
        """[B, T, 3 D] -> three of [B, H, T, d]."""
        return packed.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class DenseModel(nn.Module):
    """Whole sequences only: there is no state to stream with.

    Parameters
    ----------
    cfg : shape of the model it is compared with.
    max_len : longest sequence; positions are a table.
    """

    def __init__(self, cfg: SynapNetEdgeConfig, max_len: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(cfg.vocab_size, cfg.dim)
        self.position = nn.Embedding(max_len, cfg.dim)
        self.blocks = nn.ModuleList(DenseBlock(cfg) for _ in range(cfg.depth))
        self.norm = nn.LayerNorm(cfg.dim, bias=False)
        outputs = cfg.num_classes if cfg.head == "classification" else cfg.vocab_size
        self.head = nn.Linear(cfg.dim, outputs, bias=False)

    @torch.inference_mode()
    def forward(self, ids: Tensor) -> Tensor:
        """Logits [B, C] at the last of ids [B, T].

        Raises
        ------
        ValueError : more tokens than positions.
        """
        length = ids.shape[1]
        if length > self.position.num_embeddings:
            raise ValueError(f"ids: found {length} tokens, expected at most {self.position.num_embeddings}")
        x = self.embed(ids) + self.position.weight[:length]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, -1])).float()
