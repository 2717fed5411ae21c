"""What future queries are expected to read (expected attention, 2510.00636)."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy
from synapnet_edge.memory.scoring.expected_attention import QueryMoments, expected_attention
from synapnet_edge.memory.scoring.window import PROTECTED


@POLICIES.register("expected_attention")
class ExpectedAttentionPolicy(Policy):
    """Takes future queries as Gaussian with the moments of those seen so far, times the value's norm.

    Entries carry no position, so nothing has to be averaged over future rotations. The moments are a state of
    their own, H d (d + 1) numbers per layer, that the byte budget does not contain (`state_bytes`).

    Parameters
    ----------
    sinks : int
        First entries that are always kept (4 in the paper).
    """

    name = "expected_attention"
    wants_queries = True
    needs = "queries"

    def __init__(self, sinks: int = 4, use_factor: float = 1.5) -> None:
        super().__init__(use_factor)
        if sinks < 0:
            raise ValueError(f"sinks must not be negative, got {sinks}")
        self.sinks = sinks
        self.moments: dict[int, QueryMoments] = {}  # by layer

    def observe_queries(self, layer: int, query: Tensor) -> None:
        if layer not in self.moments:
            batch, heads, _, width = query.shape
            self.moments[layer] = QueryMoments((batch, heads), width, query.device)
        self.moments[layer].add(query)

    def score(self, state: EntryState) -> Tensor:
        if not self.moments:
            raise RuntimeError("expected_attention needs the model's queries, and none were observed")
        scores = torch.zeros(state.live.shape, dtype=torch.float64, device=state.live.device)
        bias = (state.log_salience + state.count.log()).masked_fill(~state.live, -torch.inf)
        for layer, moments in self.moments.items():
            mean, covariance = moments.mean, moments.covariance
            for stream in range(scores.shape[1]):
                keys, values = (x(layer, stream).transpose(0, 1) for x in (state.keys, state.values))
                of_heads = expected_attention(
                    keys, values, mean[stream], covariance[stream], bias=bias[layer, stream]
                )
                scores[layer, stream] = of_heads.mean(dim=0)
        count = min(self.sinks, scores.shape[-1])
        if count:
            place = state.position.double().masked_fill(~state.live, torch.inf)
            first = place.topk(count, dim=-1, largest=False).indices
            scores = scores.scatter_add(-1, first, torch.full_like(scores, PROTECTED)[..., :count])
        return scores

    def state_bytes(self) -> int:
        found = self.moments.values()
        return sum(4 * (x.total.numel() + x.squares.numel()) // x.total.shape[0] for x in found)

    def state_dict(self) -> dict[str, Tensor]:
        tensors = {}
        for layer, found in self.moments.items():
            own = {"count": torch.tensor(found.count), "total": found.total, "squares": found.squares}
            tensors |= {f"{layer}.{name}": x.clone() for name, x in own.items()}
        return tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        self.moments = {}
        for layer in sorted({int(name.partition(".")[0]) for name in tensors}):
            total = tensors[f"{layer}.total"].clone()
            moments = QueryMoments(tuple(total.shape[:-1]), total.shape[-1], total.device)
            moments.count, moments.total = int(tensors[f"{layer}.count"]), total
            moments.squares = tensors[f"{layer}.squares"].clone()
            self.moments[layer] = moments
