"""Where AWQ and SmoothQuant may fold their scales in a baseline; see `quantization.topology`.

A norm feeds everything that reads it; `up_proj` feeds `down_proj`, since the gate only multiplies it. Under
grouped queries `v_proj` has fewer features than `o_proj` reads, so nothing is folded there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from synapnet_edge.baselines.attention import angles, attend, project
from synapnet_edge.baselines.ssd import initial_ssm_state, mix
from synapnet_edge.quantization.topology import FoldGroup

QKV = ("q_proj", "k_proj", "v_proj")


def feed_forward(at: str) -> list[FoldGroup]:
    """Groups of a gated feed-forward `at`.ff behind `at`.ff_norm."""
    ff, norm = f"{at}.ff", ((f"{at}.ff_norm.weight", None),)
    inner = (f"{ff}.gate_proj", f"{ff}.up_proj")
    up = ((f"{ff}.up_proj.weight", None),)
    return [
        FoldGroup(inner, norm, (), ff, lambda module, inputs: [module(inputs)]),
        FoldGroup((f"{ff}.down_proj",), up, norm=False),
    ]


def attention_outputs(theta: float) -> Any:
    """Outputs of a library attention module for normalised inputs [B, T, D], from position 0."""

    def outputs(module: Any, inputs: Tensor) -> list[Tensor]:
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        q, k, v = project(module, inputs, **angles(positions, module.head_dim, theta))
        return [module.o_proj(attend(q, k, v))]

    return outputs


def mixer_outputs(module: Any, inputs: Tensor) -> list[Tensor]:
    """Output of a library SSM mixer for normalised inputs [B, T, D], from an empty state."""
    return [mix(module, inputs, initial_ssm_state(module, len(inputs)))]
