"""BAEEMemoryManager: budget-aware episodic eviction, the store of a streaming model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from synapnet_edge.memory.policies.baee import BAEEPolicy
from synapnet_edge.memory.policies.base import POLICIES, Policy
from synapnet_edge.memory.retention import RetentionClassifier
from synapnet_edge.memory.store import EpisodicStore

BYTES_PER_MB = 1 << 20


class BAEEMemoryManager(EpisodicStore):
    """Store ranked by a retention classifier, its entries in INT8.

    Pass one manager per batch of streams as `model.forward_streaming(ids, baee_manager=manager)`. Arrays are
    allocated at the first write, when the number of streams is known, and grow with use up to the budget.

    Parameters
    ----------
    dim : int
        Model width D (keys and values of an entry have D channels each, all heads together).
    n_layers : int
    budget_mb : float
        Budget per stream in units of 2^20 bytes, over all layers, payload and bookkeeping.
    heads : int, optional
        Checked against the model's at the first write, if given.
    classifier : RetentionClassifier, optional
        Without one, policy "baee" ranks by accumulated read mass plus salience.
    policy : str or Policy
        Name in `POLICIES`, or an instance.
    **options
        Further options of `EpisodicStore` (tiers, hot_share, merge_threshold, max_moves, marks).
        tiers=("fp16", "int8", "summary") keeps what ranks highest in FP16 and merges what would leave.
    """

    def __init__(
        self,
        dim: int,
        n_layers: int,
        budget_mb: float = 256.0,
        *,
        heads: int | None = None,
        classifier: RetentionClassifier | None = None,
        policy: str | Policy = "baee",
        **options: Any,
    ) -> None:
        if budget_mb <= 0:
            raise ValueError(f"budget_mb must be positive, got {budget_mb}")
        if heads is not None and dim % heads:
            raise ValueError(f"heads must divide dim, got {heads} and {dim}")
        if policy == "baee":
            policy = BAEEPolicy(classifier)
        elif classifier is not None:
            raise ValueError(f"a classifier is used by policy 'baee' only, got policy {policy!r}")
        elif isinstance(policy, str):
            policy = POLICIES.get(policy)()
        options = {"tiers": ("int8",), **options}
        super().__init__(n_layers, policy, budget_bytes=int(budget_mb * BYTES_PER_MB), **options)
        self.dim, self.heads = dim, heads

    def write(
        self,
        layer: int,
        keys: Tensor,
        values: Tensor,
        log_salience: Tensor,
        positions: Tensor,
        query: Tensor | None = None,
    ) -> None:
        """See `EpisodicStore.write`; raises ValueError if the model does not have the stated sizes."""
        heads, width = keys.shape[1], keys.shape[3]
        if heads * width != self.dim or heads != (self.heads or heads):
            expected = f"dim {self.dim} and heads {self.heads or 'any'}"
            raise ValueError(f"manager was built for {expected}, the model writes {heads} x {width}")
        super().write(layer, keys, values, log_salience, positions, query)
