"""What a stream carries from one piece of tokens to the next, and the interface of its memory.

The model knows the episodic memory only through `EntryStore`; budgets, tiers and eviction live behind it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from synapnet_edge.models.attend import BlockWatch
from synapnet_edge.models.salience_teacher import SalienceTeacher


class MemoryView(NamedTuple):
    """Readable entries of one layer.

    Attributes
    ----------
    keys, values : Tensor
        [B, H, N, d].
    bias : Tensor
        [B, N], added to every head's read logit: log-salience plus log(count) of a merged entry;
        -inf marks an empty slot.
    count : Tensor
        [B] float, tokens that the entries stand for (the n of SSMax).
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    count: Tensor


class InPlaceEntries(ABC):
    """Entries of one layer that are read where they lie, in whatever format that is.

    Attributes
    ----------
    count : Tensor
        [B] float, tokens that the entries stand for (the n of SSMax).
    """

    count: Tensor

    @abstractmethod
    def attend(
        self, query: Tensor, tops: Tensor, sums: Tensor, weighted: Tensor, wants_mass: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Go on with a softmax over other keys; returns its read, and the mass each entry received if wanted.

        Parameters
        ----------
        query : Tensor
            [B, H, T, d], scaled.
        tops, sums : Tensor
            [B, H, T] of the other keys: their largest logit, finite, and the sum of e^(logit - top).
        weighted : Tensor
            [B, H, T, d], the sum of e^(logit - top) times value.

        Returns
        -------
        read : Tensor
            float32 [B, H, T, d].
        mass : Tensor or None
            float32 [B, N], summed over heads and queries.
        """


class EntryStore(ABC):
    """Where written entries live. One store serves all layers of a batch of streams."""

    #: Whether `observe_read` needs attention mass; collecting it costs a second softmax layout.
    wants_mass: bool = False
    #: Whether `observe_queries` is called, for every piece, the first chunk's included.
    wants_queries: bool = False
    #: Whether `watch_blocks` must be asked. Compiled runtimes, which show sums alone, refuse such a store.
    wants_blocks: bool = False
    #: Most entries per layer and stream, if the store keeps the most salient ones and no others.
    capacity: int | None = None

    def chunks_at_once(self, slots: int) -> int:
        """How many chunks of `slots` entries may be written by one `write`.

        One, if what a chunk reads can depend on what the chunk before it made the store forget.
        """
        return 1

    @abstractmethod
    def read(self, layer: int) -> MemoryView | None:
        """Return the entries of `layer`, or None while there are none."""

    def in_place(self, layer: int) -> InPlaceEntries | None:
        """The entries of `layer` for a read without gradients that needs no copy of them, if there is one."""
        return None

    @abstractmethod
    def write(
        self,
        layer: int,
        keys: Tensor,
        values: Tensor,
        log_salience: Tensor,
        positions: Tensor,
        query: Tensor | None = None,
    ) -> None:
        """Add K entries: keys and values [B, H, K, d], log_salience [B, K] <= 0, positions [B, K] int64.

        `query` [B, H, d] is the mean read query of the chunk, for policies that want one.
        """

    def observe_read(self, layer: int, mass: Tensor) -> None:  # noqa: B027 (optional hook)
        """Receive [B, N] attention probability, summed over heads and the queries of one piece."""

    def watch_blocks(self, layer: int, bias: Tensor) -> BlockWatch | None:
        """What wants the probabilities of one piece block by block, if anything does; needs `wants_mass`.

        `bias` [B, 1, T, N + p + 1] are the additive logits of the read: finite where a query sees a key.
        """
        return None

    def observe_queries(self, layer: int, query: Tensor) -> None:  # noqa: B027 (optional hook)
        """Receive the read queries [B, H, T, d] of a piece as they enter the logits, if `wants_queries`."""

    def state_dict(self) -> dict[str, Tensor]:
        """What the store holds, as plain tensors; raises NotImplementedError if it cannot be saved."""
        raise NotImplementedError(f"a {type(self).__name__} cannot be saved")

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_dict` of a store that was made in the same way."""
        raise NotImplementedError(f"a {type(self).__name__} cannot be restored")

    def end_chunk(self) -> None:  # noqa: B027 (optional hook)
        """Called once after every layer has written a finished chunk: the moment to demote and evict."""


@dataclass
class LayerState:
    """One layer's carried tensors. `None` stands for "nothing yet".

    Attributes
    ----------
    conv_tail : Tensor
        [B, conv_width - 1, inner], the last inputs of the causal convolution.
    keys, values : Tensor
        [B, H, p, d], the attention's keys and values of the open chunk.
    memory_keys, memory_values : Tensor
        [B, H, p, d], the open chunk's keys and values as the memory reads and, in part, writes them.
    log_salience : Tensor
        [B, p] of the open chunk.
    """

    conv_tail: Tensor
    keys: Tensor | None = None
    values: Tensor | None = None
    memory_keys: Tensor | None = None
    memory_values: Tensor | None = None
    log_salience: Tensor | None = None

    def clear_chunk(self) -> None:
        """Forget the open chunk (it has been written to the memory)."""
        self.keys = self.values = self.memory_keys = self.memory_values = self.log_salience = None


@dataclass
class ModelState:
    """A batch of streams in mid-air.

    Attributes
    ----------
    layers : list of LayerState
    store : EntryStore
        The episodic memory of all layers.
    chunk_len, slots : int
        Tokens per chunk and entries written per chunk and layer.
    tokens : int
        Tokens seen so far; never wraps, nothing depends on a maximum.
    chunk_fill : int
        Tokens in the open chunk.
    teacher : SalienceTeacher or None
        Watches the reads while training.
    """

    layers: list[LayerState]
    store: EntryStore
    chunk_len: int
    slots: int
    tokens: int = 0
    chunk_fill: int = 0
    teacher: SalienceTeacher | None = None
