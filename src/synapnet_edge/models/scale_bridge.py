"""ScaleBridge: the FP16 interface that mixes pathways of different precision."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ScaleBridge(nn.Module):
    """Gated sum of pathways, `y = bias + Σ_p g_p(u) gain_p ⊙ o_p`, with `g_p = 2 sigmoid(w_p · u)`.

    One scalar gate per token and pathway, one gain per channel and pathway, one bias per channel. Gains are
    diagonal, so an exporter can fold them into the pathway's output projection. There is deliberately no
    normalisation: at the start the pathways are near zero, and normalising them would amplify noise.

    Parameters
    ----------
    dim : int
    pathways : int
        Number of inputs (SSM, attention, memory).
    """

    def __init__(self, dim: int, pathways: int = 3) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(pathways, dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.gate = nn.Parameter(torch.zeros(pathways, dim))

    def forward(self, u: Tensor, outputs: list[Tensor]) -> Tensor:
        """Mix `outputs` (each [B, T, D]) under gates computed from u [B, T, D]."""
        gates = 2 * torch.sigmoid(F.linear(u, self.gate))
        mixed = self.bias.to(outputs[0].dtype)
        for index, output in enumerate(outputs):
            weight = gates[..., index : index + 1] * self.gain[index].to(gates.dtype)
            mixed = torch.addcmul(mixed, output, weight.to(output.dtype))
        return mixed


class PlainSum(nn.Module):
    """The bridge's ablation: the pathways are added as they are."""

    def forward(self, u: Tensor, outputs: list[Tensor]) -> Tensor:
        """Sum of `outputs` (each [B, T, D])."""
        return sum(outputs[1:], start=outputs[0])


@torch.no_grad()
def neutralise_bridges(model: nn.Module) -> None:
    """Set every ScaleBridge of `model`, in place, to the plain sum it started as.

    Raises
    ------
    ValueError
        If the model has no ScaleBridge.
    """
    bridges = [module for module in model.modules() if isinstance(module, ScaleBridge)]
    if not bridges:
        raise ValueError("neutralise_bridges: found no ScaleBridge in the model, expected at least one")
    for bridge in bridges:
        bridge.gain.fill_(1.0)
        bridge.bias.zero_()
        bridge.gate.zero_()
