"""What every backend offers: the interface of the PyTorch model, whatever computes behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models.state import EntryStore
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge


class BackendUnavailable(RuntimeError):
    """A backend cannot run here; the message says in one line what is missing."""


class Session(ABC):
    """A packed model that can be run. Streams in pieces of any length; no result depends on the pieces.

    Attributes
    ----------
    cfg : shape of the model.
    backend : name of the backend.
    variant : name of the quantised variant in the file, if it says so.
    threads : threads it computes with.
    """

    backend: str

    def __init__(self, cfg: SynapNetEdgeConfig, variant: str | None, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads: expected at least 1, got {threads}")
        self.cfg, self.variant, self.threads = cfg, variant, threads

    @abstractmethod
    def init_state(
        self,
        batch_size: int,
        store: EntryStore | None = None,
        *,
        chunk_len: int | None = None,
        write_share: float | None = None,
    ) -> Any:
        """State of `batch_size` streams that have seen nothing; see `SynapNetEdge.init_state`."""

    @abstractmethod
    def step(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Process ids [B, T >= 1]; hidden states [B, T, D] float32 and the same state, updated."""

    @abstractmethod
    def read_out(self, hidden: Tensor) -> Tensor:
        """Logits float32 of hidden [..., D]."""

    def decode(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Process ids [B, T >= 1]; logits of the last token [B, C] and the state."""
        hidden, state = self.step(ids, state)
        return self.read_out(hidden[:, -1]), state

    @abstractmethod
    def weight_bytes(self) -> int:
        """Bytes of weights and constants that stay in memory."""

    @torch.inference_mode()
    def forward(self, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Logits of whole sequences: [B, C], [B, Q, C] at `positions`, or [B, T, V] of a language model."""
        hidden, _ = self.step(ids, self.init_state(ids.shape[0]))
        if self.cfg.head == "lm":
            return self.read_out(hidden)
        if positions is not None:
            index = positions[:, :, None].expand(-1, -1, hidden.shape[-1])
            return self.read_out(torch.gather(hidden, 1, index))
        return self.read_out(self._last(hidden, mask))

    __call__ = forward

    # The loops over `step` and `read_out` are those of the model itself.
    forward_streaming = SynapNetEdge.forward_streaming
    generate = SynapNetEdge.generate
    _last = SynapNetEdge._last

    def _sample(
        self,
        hidden: Tensor,
        state: Any,
        count: int,
        temperature: float,
        generator: torch.Generator | None,
    ) -> Iterator[Tensor]:
        """Next tokens [B, 1], one call of `decode` each."""
        logits = self.read_out(hidden[:, -1])
        for index in range(count):
            if temperature > 0:
                shares = (logits / temperature).softmax(dim=-1)
                token = torch.multinomial(shares, 1, generator=generator)
            else:
                token = logits.argmax(dim=-1, keepdim=True)
            yield token
            if index + 1 < count:
                logits, state = self.decode(token, state)


def check_ids(ids: Tensor, vocabulary: int) -> None:
    """Raise ValueError unless ids are [B, T >= 1] whole numbers of the vocabulary.

    Compiled code does not check indices: a wrong one would read foreign memory.
    """
    if ids.dim() != 2 or ids.shape[1] == 0 or ids.is_floating_point():
        raise ValueError(
            f"ids must be whole numbers [batch, tokens >= 1], got {ids.dtype} {tuple(ids.shape)}"
        )
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        raise ValueError(f"ids must lie in 0..{vocabulary - 1}, got {low}..{high}")
