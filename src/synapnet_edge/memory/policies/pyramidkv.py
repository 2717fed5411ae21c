"""SnapKV with more entries in lower layers (PyramidKV, 2406.02069)."""

from __future__ import annotations

from synapnet_edge.memory.policies.base import POLICIES
from synapnet_edge.memory.policies.snapkv import SnapKVPolicy
from synapnet_edge.memory.scoring.pyramidkv import pyramid_budgets


@POLICIES.register("pyramidkv")
class PyramidKVPolicy(SnapKVPolicy):
    """The vote of SnapKV with capacities that fall from layer to layer and sum to the same number.

    Layers of unequal size are stored in arrays as wide as the largest, so the bytes of the entries keep the
    budget, but the arrays take up to twice as much.

    Parameters
    ----------
    queries, kernel
        See `SnapKVPolicy`; 8 voting queries in the paper.
    beta : float
        Steepness, see `pyramid_budgets`.
    """

    name = "pyramidkv"

    def __init__(
        self, queries: int = 8, kernel: int = 7, beta: float = 20.0, use_factor: float = 1.5
    ) -> None:
        super().__init__(queries, kernel, use_factor)
        self.beta = beta

    def layer_capacities(self, n_layers: int, capacity: int) -> list[int]:
        window = min(self.history_rows, capacity // 4)
        return pyramid_budgets(n_layers, capacity, window=window, beta=self.beta)
