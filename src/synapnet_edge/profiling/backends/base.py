"""What the measurements ask of a model: stream pieces of one sequence and say what it holds.

An arm is a stored model computed by one backend. A backend is one file with one registry line; anything with
`init_state`, `step` and `read_out` (this package's models, its runtimes, streaming baselines) is measured
through `StreamSession` as it is.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synapnet_edge.profiling.state_size import held_bytes
from synapnet_edge.registry import Registry


class StreamSession:
    """A loaded model that streams one sequence on one device.

    Parameters
    ----------
    model : object with `init_state(batch)`, `step(ids [1, T], state) -> (hidden, state)` and
        `read_out(hidden)`.
    device : torch device of the ids.
    vocab_size : ids are below it.
    """

    #: whether `fork` can copy a state; compiled backends keep addresses in theirs
    forks = True

    def __init__(self, model: Any, device: str, vocab_size: int) -> None:
        self.model, self.device, self.vocab_size = model, device, vocab_size

    def place(self, ids: np.ndarray) -> Tensor:
        """Token ids [T] where the model reads them, [1, T]: moving them is not part of any timing."""
        return torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64))[None].to(self.device)

    def start(self) -> Any:
        """State of a stream that has seen nothing."""
        return self.model.init_state(1)

    @torch.inference_mode()
    def feed(self, ids: Tensor, state: Any) -> tuple[Any, Any]:
        """Read ids [1, T] in one piece; returns the last position's hidden and the state."""
        hidden, state = self.model.step(ids, state)
        return hidden[:, -1:], state

    @torch.inference_mode()
    def read_out(self, hidden: Any) -> Any:
        """Logits of one position."""
        return self.model.read_out(hidden)

    def fork(self, state: Any) -> Any:
        """A copy of the state, which may be continued without changing the original."""
        return copy.deepcopy(state)

    def parameter_bytes(self) -> int:
        """Bytes of all weights as the loaded model holds them; shared memory counts once."""
        return held_bytes(self.model)

    def state_bytes(self, state: Any) -> int:
        """Bytes that the stream carries, weights left out."""
        return held_bytes(state, besides=self.model)

    def store_bytes(self, state: Any) -> int | None:
        """Bytes of the episodic memory; None if the model has no such store."""
        store = getattr(state, "store", None)
        return None if store is None else held_bytes(store, besides=self.model)


class Backend(ABC):
    """One way to compute a stored model.

    Attributes
    ----------
    name : registered name; the `backend` column.
    packed : whether it computes from the low-bit weights as they lie in the file.
    note : said in every row's method; empty if there is nothing to warn of.
    """

    name: str
    packed: bool = False
    note: str = ""

    @abstractmethod
    def takes(self, variant: str) -> bool:
        """Whether this backend measures models of a variant."""

    def reads(self, path: Path) -> bool:
        """Whether it can compute the model in a file: any, unless a backend says otherwise."""
        return True

    @abstractmethod
    def missing(self, device: str) -> str | None:
        """Why it cannot compute on `device` here, in one line; None if it can."""

    @abstractmethod
    def load(self, path: Path, device: str, threads: int) -> StreamSession:
        """Load a stored model; `threads` is for backends with a pool of their own (torch has its set)."""


BACKENDS: Registry[Backend] = Registry("deploy backend")


@dataclass(frozen=True)
class Arm:
    """A stored variant computed by one backend."""

    variant: str
    backend: Backend
    path: Path

    @property
    def key(self) -> str:
        return f"{self.variant}/{self.backend.name}"


def is_float(variant: str) -> bool:
    """Whether a variant stores plain FP16 weights."""
    from synapnet_edge.quantization.variants import VARIANTS

    return variant in VARIANTS and not VARIANTS.get(variant).recipe.rules
