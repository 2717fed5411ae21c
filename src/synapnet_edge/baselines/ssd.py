"""State-space duality (Mamba-2, arXiv 2405.21060): the chunked scan, over the library's mixer modules.

The library's path without GPU kernels repeats B and C for every head and keeps a mask-sized tensor of sums;
here heads that share B and C share their product. Equal to it on random weights (tests).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 64  # tokens of a block: products inside it grow with its length, the recurrence with their number


@dataclass
class SSMState:
    """What a mixer carries: `state` [B, H, P, N] float32, `tail` [B, K-1, C] of the convolution's inputs."""

    state: Tensor
    tail: Tensor

    def nbytes(self) -> int:
        """Bytes for one stream: the recurrent state in FP32 (errors compound there), the tail in FP16."""
        return 4 * self.state[0].numel() + 2 * self.tail[0].numel()


def ssd_scan(
    x: Tensor,
    dt: Tensor,
    decay: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor,
    state: Tensor,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T, y_t = h_t C_t + D x_t, in blocks (section 6 of the paper).

    Parameters
    ----------
    x : [B, T, H, P] inputs. dt : [B, T, H] float32 step sizes > 0. decay : [H] float32, A < 0.
    b, c : [B, T, N], shared by all heads. skip : [H], D. state : [B, H, P, N] float32.

    Returns
    -------
    y [B, T, H, P] and the state after the last token.
    """
    batch, length, heads, width = x.shape
    chunk = min(chunk, length)
    count = -(-length // chunk)
    padding = count * chunk - length
    inputs = x
    if padding:  # a step of size 0 changes no state
        x, dt, b, c = (F.pad(t, (0, 0) * (t.dim() - 2) + (0, padding)) for t in (x, dt, b, c))
    x, dt = x.unflatten(1, (count, chunk)), dt.unflatten(1, (count, chunk))
    b, c = b.unflatten(1, (count, chunk)), c.unflatten(1, (count, chunk))
    # Double precision: a difference of two large sums would lose the small decays between neighbours.
    sums = (dt * decay).transpose(2, 3).double().cumsum(-1)  # [B, n, H, L]
    later = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu(1)
    between = (sums[..., :, None] - sums[..., None, :]).float().masked_fill(later, -torch.inf).exp()
    sums = sums.float()
    scores = torch.matmul(c, b.transpose(-1, -2)).float()[:, :, None]  # [B, n, 1, L, L]
    weighted = (x * dt[..., None].to(x.dtype)).transpose(2, 3)  # [B, n, H, L, P]
    inside = torch.matmul((scores * between).to(x.dtype), weighted)
    to_end = (sums[..., -1:] - sums).exp()
    added = (weighted * to_end[..., None].to(x.dtype)).permute(0, 1, 2, 4, 3).flatten(2, 3)  # [B, n, HP, L]
    added = torch.matmul(added, b.to(added.dtype)).float().unflatten(2, (heads, width))  # [B, n, H, P, N]
    through = sums[..., -1].exp()[..., None, None]
    starts = []
    for index in range(count):
        starts.append(state)
        state = state * through[:, index] + added[:, index]
    before = torch.stack(starts, 1).flatten(2, 3)  # [B, n, HP, N]
    carried = torch.matmul(c, before.transpose(-1, -2).to(c.dtype)).unflatten(-1, (heads, width))
    carried = carried * sums.exp().transpose(2, 3)[..., None].to(x.dtype)
    y = (inside.transpose(2, 3) + carried).flatten(1, 2)[:, :length]
    return y + inputs * skip[:, None].to(x.dtype), state


def causal_conv(x: Tensor, tail: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Depthwise convolution of x [B, T, C] after `tail` [B, K-1, C], weight [C, 1, K]; output, new tail."""
    padded = torch.cat([tail.to(x.dtype), x], 1)
    # Channels-last, as it lies in memory: a conv1d would transpose it twice.
    image = padded.unsqueeze(2).permute(0, 3, 1, 2)
    out = F.conv2d(
        image, weight[..., None].to(x.dtype), None if bias is None else bias.to(x.dtype), groups=x.shape[2]
    )
    return out.permute(0, 2, 3, 1).squeeze(2), padded[:, x.shape[1] :]


def initial_ssm_state(mixer: Any, batch: int) -> SSMState:
    """State of `batch` streams that have seen nothing, for a mixer of the library (one group of B and C)."""
    weight = mixer.conv1d.weight
    state = weight.new_zeros(
        batch, mixer.num_heads, mixer.head_dim, mixer.ssm_state_size, dtype=torch.float32
    )
    return SSMState(state, weight.new_zeros(batch, weight.shape[2] - 1, weight.shape[0]))


@torch.no_grad()
def start_mixer(mixer: Any) -> None:
    """Initialise a mixer as published: A ~ U(1, 16), step sizes log-uniform in [1e-3, 1e-1], D = 1.

    What the library sets is made to be overwritten by trained weights: Falcon-H1's steps of softplus(1) would
    forget everything within a few tokens.
    """
    mixer.A_log.copy_(torch.empty_like(mixer.A_log).uniform_(1, 16).log())
    low, high = math.log(1e-3), math.log(1e-1)
    steps = torch.empty_like(mixer.dt_bias).uniform_(low, high).exp().clamp_min(1e-4)
    mixer.dt_bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # inverse of softplus
    mixer.D.fill_(1.0)
    bound = mixer.conv1d.weight.shape[2] ** -0.5
    mixer.conv1d.weight.uniform_(-bound, bound)
    mixer.conv1d.bias.zero_()


def mix(mixer: Any, u: Tensor, state: SSMState) -> Tensor:
    """Output [B, T, D] of a `Mamba2Mixer` or `FalconH1Mixer` for u [B, T, D]; `state` is updated in place.

    The Falcon-H1 mixer differs in its multipliers and may gate without a norm.
    """
    projected = mixer.in_proj(u * getattr(mixer, "ssm_in_multiplier", 1.0))
    if hasattr(mixer, "mup_vector"):
        projected = projected * mixer.mup_vector.to(projected.dtype)
    gate, bound, dt = projected.split([mixer.intermediate_size, mixer.conv_dim, mixer.num_heads], -1)
    bound, state.tail = causal_conv(bound, state.tail, mixer.conv1d.weight, mixer.conv1d.bias)
    size = mixer.ssm_state_size
    x, b, c = F.silu(bound).split([mixer.intermediate_size, size, size], -1)
    dt = F.softplus(dt.float() + mixer.dt_bias).clamp(*mixer.time_step_limit)
    decay = -mixer.A_log.float().exp()
    heads = x.unflatten(-1, (mixer.num_heads, mixer.head_dim))
    y, state.state = ssd_scan(heads, dt, decay, b, c, mixer.D, state.state)
    y = y.flatten(2)
    gated = mixer.norm(y, gate) if getattr(mixer, "mamba_rms_norm", True) else y * F.silu(gate)
    return mixer.out_proj(gated)
