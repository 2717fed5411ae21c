"""SparseEventAttention: a local window plus the most salient earlier tokens of the open chunk."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.models.attend import attend, merge_heads, normalised_heads, split_heads


class Salience(nn.Module):
    """How much a token matters to later ones: `logsigmoid(w · b + c + g p)`, one number per token and layer.

    The attention and the memory add it to their logits and choose by it what stays visible and what is
    written. `p` is a number of the token alone (`Embedding.prior`), and `g` weighs it: a plane through raw
    embeddings, all that the first layer sees, does not separate the kinds of tokens that are asked for.
    """

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.score = nn.Linear(inner, 1)
        self.prior_gain = nn.Parameter(torch.zeros(()))

    def forward(self, bound: Tensor, prior: Tensor) -> Tensor:
        """Log-salience <= 0 of bound [B, T, inner] and prior [B, T], [B, T] float32."""
        return F.logsigmoid(self.score(bound).squeeze(-1).float() + self.prior_gain * prior)


class SparseEventAttention(nn.Module):
    """Causal multi-head attention inside one chunk over a window and top-K salient keys.

    The log-salience of a token (`Salience`) is added to the logits of its key in every head (so it is trained
    by the ordinary loss) and decides which keys outside the window stay visible (a query-independent
    selection; compare DSA, which scores per query). Selection works on
    blocks of `window / 2` tokens: all queries of a block see the keys of their own and the previous block
    (causally), and the `top_k` most salient keys before that. Since the candidates of a block lie wholly
    before it, no future token can take part in the ranking.

    Parameters
    ----------
    dim, inner, heads : int
        Output width, width of the bound states it reads, heads (heads divides dim).
    window, top_k : int
        Window length in tokens (even) and number of salient keys.
    """

    def __init__(self, dim: int, inner: int, heads: int, window: int, top_k: int) -> None:
        super().__init__()
        self.heads, self.block, self.top_k = heads, window // 2, top_k
        self.q_proj = nn.Linear(inner, dim, bias=False)
        self.k_proj = nn.Linear(inner, dim, bias=False)
        self.v_proj = nn.Linear(inner, dim, bias=False)
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.sharpness = nn.Parameter(torch.ones(heads))

    def project(self, bound: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, T, d] of bound [B, T, inner]."""
        return normalised_heads(self.k_proj(bound), self.heads), split_heads(self.v_proj(bound), self.heads)

    def forward(self, bound: Tensor, keys: Tensor, values: Tensor, log_salience: Tensor) -> Tensor:
        """Attend from bound [B, T, inner] to the open chunk, of which it is the last T tokens.

        Parameters
        ----------
        bound : Tensor
        keys, values, log_salience : Tensor
            [B, H, p, d], [B, H, p, d] and [B, p] of the open chunk, these tokens included.

        Returns
        -------
        Tensor [B, T, dim]
        """
        visible = self._visible(log_salience.detach(), keys.shape[2] - bound.shape[1])
        bias = log_salience[:, None, None, :].masked_fill(~visible, -math.inf)
        query = normalised_heads(self.q_proj(bound), self.heads)
        scale = self.sharpness / math.sqrt(query.shape[-1])
        query = query * scale[:, None, None].to(query.dtype)
        return self.o_proj(merge_heads(attend(query, keys, values, bias)))

    def _visible(self, log_salience: Tensor, past: int) -> Tensor:
        """Keys that the tokens from `past` on may see, [1 or B, 1, T, p + T] bool."""
        total = log_salience.shape[1]
        device = log_salience.device
        query_at = torch.arange(past, total, device=device)
        key_at = torch.arange(total, device=device)
        causal = key_at[None, :] <= query_at[:, None]
        blocks = query_at // self.block
        if ((total - 1) // self.block - 1) * self.block <= self.top_k:
            return causal[None, None]  # no query has more candidates than top_k: all of them are chosen
        local = causal & (key_at[None, :] >= (blocks[:, None] - 1) * self.block)
        first, last = past // self.block, (total - 1) // self.block
        chosen = self._select(log_salience, torch.arange(first, last + 1, device=device))
        return (local[None] | chosen[:, blocks - first])[:, None]

    def _select(self, log_salience: Tensor, blocks: Tensor) -> Tensor:
        """For each block the `top_k` most salient keys that end before its previous block, [B, J, total]."""
        total = log_salience.shape[1]
        candidate = (
            torch.arange(total, device=log_salience.device)[None, :] < (blocks[:, None] - 1) * self.block
        )
        scores = log_salience[:, None, :].masked_fill(~candidate[None], -math.inf)
        best = scores.topk(min(self.top_k, total), dim=-1).indices
        chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, best, True)
        return chosen & candidate[None]
