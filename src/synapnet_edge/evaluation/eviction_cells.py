"""What an eviction run measures: tasks, budgets, places and lengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synapnet_edge.memory.tiers import entry_bytes
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.tasks.base import Task, TaskBatch
from synapnet_edge.tasks.catalog import TASKS

#: Policies that can use the question's own reads: what the query-aware cells compare.
QUERY_AWARE = ("h2o", "scissorhands", "snapkv", "pyramidkv", "tova", "expected_attention", "baee")
PLACES = ("early", "late", "anywhere")
_CHOICES = ("model", "variant", "policies", "paired", "cost")  # which jobs there are; no job needs to know


@dataclass(frozen=True)
class EvictionGrid:
    """The cells of an eviction run.

    Attributes
    ----------
    tasks : tuple of str
    budgets : tuple of float
        Bytes per stream as a share of the full memory in FP16: chunks x slots x entry bytes x layers.
    positions : tuple of str
        "early", "late" or "anywhere" (uniform), for tasks that can place their target; others have one place
        of their own.
    lengths : tuple of int
        Tokens.
    samples : int
        Rows per cell, the same for every policy and budget.
    batch : int
        Rows streamed at once.
    query_aware : bool
        Whether policies that can use the question's reads are also measured when they have seen it.
    """

    tasks: tuple[str, ...]
    budgets: tuple[float, ...]
    positions: tuple[str, ...]
    lengths: tuple[int, ...]
    samples: int
    batch: int = 32
    query_aware: bool = False

    def __post_init__(self) -> None:
        for key in ("tasks", "budgets", "positions", "lengths"):
            if not getattr(self, key):
                raise ValueError(f"eviction: {key} is empty, expected at least one")
        if any(not 0.0 < share <= 1.0 for share in self.budgets):
            raise ValueError(f"eviction: budgets must lie in (0, 1], got {list(self.budgets)}")
        if any(place not in PLACES for place in self.positions):
            raise ValueError(f"eviction: positions must be some of {PLACES}, got {list(self.positions)}")
        if self.samples < 1 or self.batch < 1:
            raise ValueError(
                f"eviction: samples and batch must be positive, got {self.samples}, {self.batch}"
            )

    @classmethod
    def from_dict(cls, cfg: Mapping[str, Any]) -> EvictionGrid:
        """Read a configuration block; keys that only choose jobs are ignored.

        Raises
        ------
        ValueError
            For a key that is not part of the grid.
        """
        cfg = {key: value for key, value in cfg.items() if key not in _CHOICES}
        known = {field.name for field in dataclasses.fields(cls)}
        if set(cfg) - known:
            raise ValueError(
                f"eviction: unknown keys {sorted(set(cfg) - known)}, expected some of {sorted(known)}"
            )
        fixed = {key: tuple(value) if isinstance(value, list) else value for key, value in cfg.items()}
        return cls(**fixed)

    def cells(self) -> list[tuple[str, str, int]]:
        """(task, place, length); a task that cannot place its target has one place."""
        found = []
        for name in self.tasks:
            places = self.positions if hasattr(TASKS.get(name), "position") else (place_of(TASKS.get(name)),)
            found += [(name, place, length) for place in places for length in self.lengths]
        return found


def place_of(task: Task) -> str:
    """Where a task that cannot be told puts its target."""
    variant = getattr(task, "variant", "anywhere")
    return variant if variant in PLACES else "anywhere"


def full_bytes(model: SynapNetEdge, length: int) -> int:
    """Bytes of the full memory of one row in FP16, bookkeeping included."""
    cfg = model.cfg
    return full_entries(model, length) * entry_bytes("fp16", cfg.heads, cfg.head_dim) * cfg.depth


def full_entries(model: SynapNetEdge, length: int) -> int:
    """Entries one layer writes for a row whose every chunk is finished."""
    cfg = model.cfg
    return length // cfg.chunk_len * min(cfg.episodic_slots, cfg.chunk_len)


def eviction_rows(task: str, position: str, length: int, seed: int, samples: int) -> TaskBatch:
    """The rows of a cell: the same for every policy and budget.

    Raises
    ------
    ValueError
        If the task asks more than one question, or does not say where its target stands.
    """
    found = TASKS.get(task)
    options = {"position": position} if hasattr(found, "position") else {}
    rows = found.rows(seed, samples, length, "test", **options)
    if rows.targets.shape[1] != 1 or "target_needle" not in rows.meta:
        raise ValueError(f"task {task!r} must ask one question about known target positions")
    return rows
