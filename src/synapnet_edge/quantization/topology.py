"""Which layers read one tensor, and which earlier parameters can take the inverse of its scale.

Dividing a tensor's features by s and multiplying the columns of EVERYTHING that reads it changes nothing in
exact arithmetic. It can be folded only where the producer is linear in those features:

- a block's norm feeds the SSM's two input projections and the bridge's gates;
- `ff_norm` feeds the feed-forward's `up`; the last norm feeds the head;
- attention and memory are linear in their values, so `v_proj` feeds `o_proj` (the memory's last value feature
  is a constant 1, whose gain is a parameter of its own).

Queries, keys and values read ``silu(conv(...))`` and `out_proj` and `down` read gated states: a scale does
not pass through SiLU, so nothing is folded there, and no multiplication is left to do at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from synapnet_edge.models.synapnet_edge_model import SynapNetEdge

Inspect = Callable[[nn.Module, Tensor], list[Tensor]]
# Layers whose inputs are kept as sequences, since the module they belong to is not linear in its weights.
INSPECTED = (".ssm.in_proj", ".ff.up")


@dataclass(frozen=True)
class FoldGroup:
    """Layers that read one tensor [.., K], and what produces it.

    Attributes
    ----------
    consumers : names of the linear layers whose columns take the scale.
    also : names of parameters [.., K] that read the tensor too and are not quantised.
    producers : (parameter, features) pairs; entry i of the parameter's first axis is divided by the scale of
        feature ``features[i]`` (None: of feature i).
    inspected : name of the module whose output decides between scales; "" = the single consumer's own.
    outputs : what that module gives for an input [B, T, K].
    norm : whether the producer is a norm (SmoothQuant touches no other).
    """

    consumers: tuple[str, ...]
    producers: tuple[tuple[str, tuple[int, ...] | None], ...]
    also: tuple[str, ...] = ()
    inspected: str = ""
    outputs: Inspect | None = None
    norm: bool = True


def fold_groups(model: nn.Module) -> list[FoldGroup]:
    """The groups of a model, in the order in which data passes them: a baseline names its own.

    Raises
    ------
    ValueError
        For another kind of model: its producers are not known.
    """
    if hasattr(model, "fold_groups"):
        return model.fold_groups()
    if not isinstance(model, SynapNetEdge):
        raise ValueError(f"model: found {type(model).__name__}, expected SynapNetEdge to fold scales in")
    groups: list[FoldGroup] = []
    for index, block in enumerate(model.blocks):
        at = f"blocks.{index}"
        names = [f"{at}.ssm.{part}" for part in ("in_proj", "gate_proj") if hasattr(block.ssm, part)]
        gates = (f"{at}.bridge.gate",) if hasattr(block.bridge, "gate") else ()
        norm = ((f"{at}.norm.weight", None),)
        groups.append(FoldGroup(tuple(names), norm, gates, f"{at}.ssm", _ssm_outputs))
        if block.attention is not None:
            values = ((f"{at}.attention.v_proj.weight", None),)
            groups.append(FoldGroup((f"{at}.attention.o_proj",), values, norm=False))
        if block.memory is not None:
            values = (
                (f"{at}.memory.v_proj.weight", None),
                (f"{at}.memory.found_gain", _last_features(model.cfg.dim, block.memory.heads)),
            )
            groups.append(FoldGroup((f"{at}.memory.o_proj",), values, norm=False))
        ff_norm = ((f"{at}.ff_norm.weight", None),)
        groups.append(FoldGroup((f"{at}.ff.up",), ff_norm, (), f"{at}.ff", _ff_outputs))
    groups.append(FoldGroup(("head",), (("norm.weight", None),)))
    return groups


@torch.no_grad()
def fold(model: nn.Module, group: FoldGroup, scale: Tensor) -> None:
    """Multiply the columns of all consumers by `scale` [K] and divide the producers, in place."""
    parameters = dict(model.named_parameters())
    for name in (*(f"{consumer}.weight" for consumer in group.consumers), *group.also):
        parameters[name].mul_(scale)
    for name, features in group.producers:
        divisor = scale if features is None else scale[list(features)]
        parameter = parameters[name]
        parameter.div_(divisor.view(-1, *[1] * (parameter.dim() - 1)))


def _ssm_outputs(ssm: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Bound states, which attention and memory read, and the pathway's own output."""
    bound, _, _ = ssm.bind(inputs, ssm.initial_state(inputs.shape[0], inputs.device))
    return [bound, ssm(inputs, bound)] if hasattr(ssm, "out_proj") else [bound]


def _ff_outputs(ff: nn.Module, inputs: Tensor) -> list[Tensor]:
    return [ff(inputs)]


def _last_features(dim: int, heads: int) -> tuple[int, ...]:
    width = dim // heads
    return tuple(head * width + width - 1 for head in range(heads))
