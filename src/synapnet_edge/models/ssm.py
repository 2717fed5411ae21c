"""SimpleSSM: causal depthwise convolution and a gate."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CausalConv(nn.Module):
    """Depthwise convolution over the last `width` inputs of each channel; carries its tail.

    Parameters
    ----------
    channels, width : int
        The weight is [channels, width]; tap `width - 1` multiplies the current input.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(width)
        self.weight = nn.Parameter(torch.empty(channels, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve x [B, T, channels] after `tail` [B, width - 1, channels]; return output and new tail."""
        padded = torch.cat([tail.to(x.dtype), x], dim=1)
        length, width = x.shape[1], self.weight.shape[1]
        # Channels-last conv2d reads [B, T, C] as it lies in memory; conv1d would transpose it twice.
        image = padded.unsqueeze(2).permute(0, 3, 1, 2)
        kernel = self.weight.to(x.dtype).view(-1, 1, width, 1)
        out = F.conv2d(image, kernel, self.bias.to(x.dtype), groups=self.weight.shape[0])
        return out.permute(0, 2, 3, 1).squeeze(2), padded[:, length:]


class SimpleSSM(nn.Module):
    """SSM pathway: `out_proj(b * silu(gate_proj(u)))` with the bound state `b = silu(conv(in_proj(u)))`.

    The convolution is a linear state-space model whose transition is a shift: its state is the last
    `conv_width - 1` inputs. b holds a token together with its predecessors, and the attention and the
    memory take their queries, keys and values from it: binding a value to the key beside it needs the
    shift before the lookup (Zoology, 2312.04927).

    Parameters
    ----------
    dim, inner, conv_width : int
        Model width, state width and convolution taps.
    pathway : bool
        Whether the module has an output of its own; without one it only binds for attention and memory.
    """

    def __init__(self, dim: int, inner: int, conv_width: int, pathway: bool = True) -> None:
        super().__init__()
        self.in_proj = nn.Linear(dim, inner, bias=False)
        self.conv = CausalConv(inner, conv_width)
        if pathway:
            self.gate_proj = nn.Linear(dim, inner, bias=False)
            self.out_proj = nn.Linear(inner, dim, bias=False)

    def initial_state(self, batch: int, device: torch.device) -> Tensor:
        """Return a zero convolution tail, [B, conv_width - 1, inner]."""
        channels, width = self.conv.weight.shape
        return torch.zeros(batch, width - 1, channels, device=device)

    def bind(self, u: Tensor, tail: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For u [B, T, dim]: bound states and the convolution's inputs [B, T, inner], and its new tail."""
        inputs = self.in_proj(u)
        convolved, tail = self.conv(inputs, tail)
        return F.silu(convolved), inputs, tail

    def forward(self, u: Tensor, bound: Tensor) -> Tensor:
        """Output [B, T, dim] of the pathway for u and its bound states."""
        return self.out_proj(bound * F.silu(self.gate_proj(u)))
