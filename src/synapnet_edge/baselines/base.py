"""What every baseline is: blocks with a streaming state behind one interface, that of the reference model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.baselines.attention import angles
from synapnet_edge.baselines.shape import Shape
from synapnet_edge.models.synapnet_edge_model import component_of
from synapnet_edge.quantization.topology import FoldGroup
from synapnet_edge.registry import Registry
from synapnet_edge.tasks.layout import ANSWER_START


@dataclass
class StreamState:
    """One state object per layer, and the number of tokens so far (learned meta tokens included)."""

    layers: list[Any]
    tokens: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


class TokenEmbedding(nn.Module):
    """A token embedding under the name that recipes of the quantisers know (`embed.token`)."""

    def __init__(self, token: nn.Embedding) -> None:
        super().__init__()
        self.token = token

    def forward(self, ids: Tensor) -> Tensor:
        return self.token(ids)


class Baseline(nn.Module):
    """A causal model with `blocks`; subclasses build them from the maintained implementation's modules.

    `forward`, `step`, `init_state` and `read_out` are those of `SynapNetEdge`, so that training, evaluation
    and profiling treat both alike. Nothing is ever cut from an input: a longer one makes a longer state.

    Parameters
    ----------
    cfg : Shape

    Attributes
    ----------
    fitted : key of the shape that is fitted to the reference model's parameter count.
    source : baseline whose trained weights this one takes, or None for one that is trained.
    tied : whether the read-out uses the embedding rows of the answer tokens.
    """

    fitted: ClassVar[str] = "ff_hidden"
    source: ClassVar[str | None] = None
    tied: ClassVar[bool] = True

    def __init__(self, cfg: Shape) -> None:
        super().__init__()
        self.cfg = cfg
        embedding, self.blocks, self.norm = self.build()
        self.embed = TokenEmbedding(embedding)
        self.head = None if self.tied else nn.Linear(cfg.dim, cfg.num_classes, bias=False)
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=cfg.dim**-0.5)

    @abstractmethod
    def build(self) -> tuple[nn.Embedding, nn.ModuleList, nn.Module]:
        """Token embedding, blocks and the last norm, initialised as the implementation does it."""

    #: Ends of the names of layers whose inputs a search of scales needs as sequences.
    inspected: ClassVar[tuple[str, ...]] = (".attention.q_proj", ".ssm.in_proj", ".ff.gate_proj")

    def fold_groups(self) -> list[FoldGroup]:
        """Layers that read one tensor and what takes the inverse of its scale, see `topology.fold_groups`."""
        blocks = enumerate(self.blocks)
        return [group for index, block in blocks for group in block.fold_groups(f"blocks.{index}", self.cfg)]

    @abstractmethod
    def layer_states(self, batch: int) -> list[Any]:
        """States of `batch` streams that have seen nothing; each has `nbytes()`."""

    def context(self, state: StreamState, length: int) -> dict[str, Any]:
        """What all blocks need for the next `length` tokens, such as rotary angles."""
        return {}

    def rotary_context(self, state: StreamState, length: int) -> dict[str, Any]:
        """Rotary angles of the next `length` tokens."""
        device = self.embed.token.weight.device
        positions = torch.arange(state.tokens, state.tokens + length, device=device)
        return angles(positions, self.cfg.head_dim, self.cfg.rope_theta)

    def init_state(self, batch_size: int) -> StreamState:
        """State of `batch_size` streams that have seen nothing."""
        return StreamState(self.layer_states(batch_size))

    def step(self, ids: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Process the next piece ids [B, T], T >= 1; hidden [B, T, D] (normalised) and the updated state."""
        if ids.dim() != 2 or ids.shape[1] == 0:
            raise ValueError(f"ids must be [batch, tokens >= 1], got shape {tuple(ids.shape)}")
        return self.norm(self.advance(self.embed(ids), state)), state

    def advance(self, x: Tensor, state: StreamState) -> Tensor:
        """Run embedded tokens x [B, T, D] through all blocks."""
        context = self.context(state, x.shape[1])
        for block, layer in zip(self.blocks, state.layers, strict=True):
            x = block(x, layer, **context)
        state.tokens += x.shape[1]
        return x

    def forward(self, ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits [B, C] at the last token, or [B, Q, C] at `positions` [B, Q]."""
        hidden, _ = self.step(ids, self.init_state(ids.shape[0]))
        if positions is None:
            return self.read_out(hidden[:, -1])
        return self.read_out(torch.gather(hidden, 1, positions[:, :, None].expand(-1, -1, hidden.shape[-1])))

    def read_out(self, hidden: Tensor) -> Tensor:
        """Logits of hidden [..., D], float32."""
        if self.head is not None:
            return self.head(hidden).float()
        rows = slice(ANSWER_START, ANSWER_START + self.cfg.num_classes)  # class c is written as token 5 + c
        return F.linear(hidden, self.embed.token.weight[rows]).float()

    def state_bytes(self, state: StreamState) -> int:
        """Bytes that one stream carries, as deployed: keys and values in FP16, recurrent states in FP32."""
        return sum(layer.nbytes() for layer in state.layers)

    @classmethod
    def derive(
        cls, source: Baseline, mixture: Mapping[str, float], settings: Mapping[str, Any], seed: int
    ) -> tuple[Baseline, float, float]:
        """Make this baseline of a trained `source`: the model, first and last loss of what it fits."""
        raise NotImplementedError(f"{cls.__name__} is trained on its own")

    def skeleton(self) -> Baseline:
        """A copy of this model's shape on the meta device: its states have real shapes and no contents."""
        with torch.device("meta"):
            return type(self)(self.cfg).eval()

    def component_parameters(self) -> dict[str, int]:
        """Parameters by component; the values add up to the model's total."""
        counts: dict[str, int] = {}
        for name, parameter in self.named_parameters():
            component = component_of(name)
            counts[component] = counts.get(component, 0) + parameter.numel()
        return counts


BASELINES: Registry[type[Baseline]] = Registry("baseline")


def count_parameters(shape: Shape) -> int:
    """Parameters of a baseline of this shape; nothing is allocated."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in BASELINES.get(shape.kind)(shape).parameters())
