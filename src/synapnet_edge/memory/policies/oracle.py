"""Upper bound: keeps what the future will read."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy
from synapnet_edge.memory.traces import ReadTrace


@POLICIES.register("oracle")
class OraclePolicy(Policy):
    """Scores an entry by the read mass it receives in later chunks of a recorded full-memory pass.

    Not a method but a bound: it needs the future. An entry the recorded pass never wrote (its layer's
    input changed by earlier evictions) has no recorded future and goes first.

    Parameters
    ----------
    trace : ReadTrace
        Recorded on exactly the rows now being streamed.
    """

    name = "oracle"

    def __init__(self, trace: ReadTrace, use_factor: float = 1.5) -> None:
        super().__init__(use_factor)
        self._trace = trace
        last = int(trace.position.max()) + 1
        n_layers, batch, entries = trace.position.shape
        self._slot = torch.full((n_layers, batch, last), -1, dtype=torch.int64)
        index = torch.arange(entries).expand(n_layers, batch, -1)
        self._slot.scatter_(-1, trace.position.long(), index)

    def start(self, n_layers: int, batch: int) -> None:
        if self._slot.shape[:2] != (n_layers, batch):
            found = tuple(self._slot.shape[:2])
            raise ValueError(f"trace holds {found} layers and rows, the store has {(n_layers, batch)}")

    def score(self, state: EntryState) -> Tensor:
        position = state.position.long().cpu()
        known = (position >= 0) & (position < self._slot.shape[-1])
        slot = self._slot.gather(-1, position.clamp(0, self._slot.shape[-1] - 1))
        known &= slot >= 0
        future = self._trace.future(state.step).gather(-1, slot.clamp_min(0)).double()
        return future.masked_fill(~known, -1.0).to(state.position.device)
