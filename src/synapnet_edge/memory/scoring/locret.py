"""Locret: a trained head scores each key once, when it is written (2410.01805, equations 2 to 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.artifacts import ArtifactError, read_tensors, write_tensors

_KIND = "locret_heads"
SMOOTHNESS = 0.0025


class RetainingHead(nn.Module):
    """One layer's head: concat(q, k, v) -> linear without bias -> SiLU -> linear -> one score per key head.

    Parameters
    ----------
    width : int
        Channels of q, k and v together.
    hidden : int
        1024 in the paper.
    groups : int
        Scores per token: key heads that keep keys of their own, or 1 if a token is kept with all heads.
    """

    def __init__(self, width: int, hidden: int = 1024, groups: int = 1) -> None:
        super().__init__()
        if min(width, hidden, groups) < 1:
            raise ValueError(f"width, hidden and groups must be positive, got {width}, {hidden}, {groups}")
        self.width, self.hidden, self.groups = width, hidden, groups
        self.inner = nn.Linear(width, hidden, bias=False)
        self.outer = nn.Linear(hidden, groups, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Scores [..., T, groups] of q, k, v [..., T, *], a token's heads flattened into the last axis."""
        joined = torch.cat([queries, keys, values], dim=-1).to(self.inner.weight.dtype)
        return self.outer(F.silu(self.inner(joined)))


def locret_labels(logits: Tensor) -> Tensor:
    """Largest scaled logit before the softmax over the answer's queries: [..., T, N] -> [..., N]."""
    return logits.amax(dim=-2)


def locret_loss(predicted: Tensor, label: Tensor, smoothness: float = SMOOTHNESS) -> Tensor:
    """SmoothL1 plus `smoothness` times the mean squared step between neighbours, over [..., T] in order."""
    steps = (predicted[..., 1:] - predicted[..., :-1]).square()
    smooth = steps.mean() if steps.numel() else predicted.new_zeros(())
    return F.smooth_l1_loss(predicted, label) + smoothness * smooth


def save_heads(path: str | Path, heads: nn.ModuleList, metadata: dict[str, Any] | None = None) -> None:
    """Write the heads of all layers as one safetensors file."""
    first = heads[0]
    sizes = {"width": first.width, "hidden": first.hidden, "groups": first.groups, "layers": len(heads)}
    write_tensors(path, heads.state_dict(), {**(metadata or {}), "kind": _KIND, **sizes})


def load_heads(path: str | Path) -> nn.ModuleList:
    """Read a file written by `save_heads`; raises ArtifactError on any other file."""
    tensors, metadata = read_tensors(path)
    if metadata.get("kind") != _KIND:
        raise ArtifactError(f"{path}: expected {_KIND}, found {metadata.get('kind')!r}")
    sizes = [metadata[name] for name in ("width", "hidden", "groups")]
    heads = nn.ModuleList(RetainingHead(*sizes) for _ in range(metadata["layers"]))
    heads.load_state_dict(tensors)
    return heads.eval()
