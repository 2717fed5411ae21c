"""First entries and last entries (StreamingLLM, 2309.17453)."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy, recency


@POLICIES.register("streaming_llm")
class StreamingLLMPolicy(Policy):
    """Keeps the first `sinks` entries ever written and the most recent ones.

    The paper re-numbers rotary positions inside the cache; entries here carry no position, so nothing
    of that is needed.

    Parameters
    ----------
    sinks : int
        Entries kept from the start of the stream (4 in the paper).
    """

    name = "streaming_llm"

    def __init__(self, sinks: int = 4, use_factor: float = 1.5) -> None:
        super().__init__(use_factor)
        if sinks < 0:
            raise ValueError(f"sinks must not be negative, got {sinks}")
        self.sinks = sinks

    def score(self, state: EntryState) -> Tensor:
        score = recency(state)
        # Sinks are never dropped, so the lowest positions present are the first ones written.
        k = min(self.sinks, score.shape[-1])
        first = score.masked_fill(~state.live, torch.inf).topk(k, dim=-1, largest=False).indices
        return score.scatter_add(-1, first, torch.full_like(score, 2.0**32)[..., :k])
