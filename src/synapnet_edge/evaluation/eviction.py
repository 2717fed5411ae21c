"""Answers under a memory budget: one policy on all cells of the eviction grid."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.memory.policies import POLICIES, Policy
from synapnet_edge.memory.retention import RetentionClassifier
from synapnet_edge.memory.store import EpisodicStore
from synapnet_edge.memory.tiers import entry_bytes
from synapnet_edge.memory.traces import ReadTrace
from synapnet_edge.models.state import EntryStore, UnboundedStore
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.catalog import TASKS

COLUMNS = [
    "task", "policy", "budget", "position", "length", "seed", "query_aware", "n", "accuracy", "ci_low",
    "ci_high", "retention", "accuracy_retained", "accuracy_evicted", "accuracy_full", "bytes",
    "retention_layers", "entries",
]  # fmt: skip


@dataclass(frozen=True)
class EvictionGrid:
    """The cells of an eviction run.

    Attributes
    ----------
    tasks : tuple of str
    budgets : tuple of float
        Bytes per stream as a share of the full memory in FP16: chunks x slots x entry bytes x layers.
    positions : tuple of str
        "early", "late" or "anywhere"; tasks that cannot place their target only know "anywhere".
    lengths : tuple of int
        Tokens.
    samples : int
        Rows per cell, the same for every policy and budget.
    batch : int
        Rows streamed at once.
    tiers : mapping
        Policy to tiers. Without an entry: all three for "baee", FP16 for the others.
    """

    tasks: tuple[str, ...]
    budgets: tuple[float, ...]
    positions: tuple[str, ...]
    lengths: tuple[int, ...]
    samples: int
    batch: int = 32
    tiers: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("tasks", "budgets", "positions", "lengths"):
            if not getattr(self, key):
                raise ValueError(f"eviction: {key} is empty, expected at least one")
        if any(not 0.0 < share <= 1.0 for share in self.budgets):
            raise ValueError(f"eviction: budgets must lie in (0, 1], got {list(self.budgets)}")
        if self.samples < 1 or self.batch < 1:
            raise ValueError(
                f"eviction: samples and batch must be positive, got {self.samples}, {self.batch}"
            )

    @classmethod
    def from_dict(cls, cfg: Mapping[str, Any]) -> EvictionGrid:
        """Read a configuration block; `task` may stand for a single task, model and variant are ignored.

        Raises
        ------
        ValueError
            For a key that is not part of the grid.
        """
        cfg = {key: value for key, value in cfg.items() if key not in ("model", "variant", "policies")}
        if "task" in cfg:
            cfg["tasks"] = [cfg.pop("task")]
        known = {field.name for field in dataclasses.fields(cls)}
        if set(cfg) - known:
            raise ValueError(
                f"eviction: unknown keys {sorted(set(cfg) - known)}, expected some of {sorted(known)}"
            )
        fixed = {key: tuple(value) if isinstance(value, list) else value for key, value in cfg.items()}
        return cls(**fixed)

    def tiers_of(self, policy: str) -> tuple[str, ...]:
        """Entry formats a policy may use."""
        default = ("fp16", "int8", "summary") if policy == "baee" else ("fp16",)
        return tuple(self.tiers.get(policy, default))


class Streamed(NamedTuple):
    """A batch of rows: correct [B] bool, held [L, B] bool, measured bytes [B], mean entries per layer."""

    correct: np.ndarray
    held: np.ndarray
    bytes: np.ndarray
    entries: float


@torch.inference_mode()
def run_policy(
    model: SynapNetEdge,
    policy: str,
    cfg: Mapping[str, Any],
    *,
    seed: int,
    classifier: RetentionClassifier | None = None,
    autocast: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Stream every cell of the grid under `policy` at equal bytes.

    Eviction is query-agnostic: it happens when a chunk is finished and sees nothing of later chunks. The
    oracle is the exception by definition: it knows the reads of a recorded pass with full memory.

    Parameters
    ----------
    model : SynapNetEdge
        Classification head.
    policy : str
        Name in `POLICIES`.
    cfg : mapping
        See `EvictionGrid`.
    seed : int
        Seed of the rows (and of the random policy).
    classifier : RetentionClassifier, optional
        For "baee"; without one its scores are accumulated read mass plus salience.
    autocast : bool
        Run the model under bfloat16 autocast.

    Returns
    -------
    DataFrame
        `COLUMNS`, one row per task, position, length and budget. `retention`: share of rows whose target
        the query can reach, that is held in at least one layer or still in the open chunk;
        `retention_layers`: mean share of layers; `bytes`: largest measured number of bytes of a stream;
        `entries`: mean number of entries per layer when the query is read.
    """
    grid = EvictionGrid.from_dict(cfg)
    POLICIES.get(policy)
    if model.cfg.head != "classification":
        raise ValueError(f"eviction needs a classification head, the model has head={model.cfg.head!r}")
    model.eval()
    cells = [(t, p, n) for t in grid.tasks for p in grid.positions for n in grid.lengths]
    total = len(cells) * (1 + len(grid.budgets)) * grid.samples
    table: list[dict[str, Any]] = []
    device = model.embed.token.weight.device.type
    with (
        torch.autocast(device, torch.bfloat16, enabled=autocast),
        tqdm(total=total, desc=policy, unit="row", disable=not progress) as bar,
    ):
        for task, position, length in cells:
            rows = _rows(task, position, length, seed, grid.samples)
            cell = {"task": task, "policy": policy, "position": position, "length": length, "seed": seed}
            table += [cell | row for row in _run_cell(model, grid, cell, rows, classifier, bar)]
    return pd.DataFrame(table)[COLUMNS]


def _run_cell(
    model: SynapNetEdge,
    grid: EvictionGrid,
    cell: Mapping[str, Any],
    rows: TaskBatch,
    classifier: RetentionClassifier | None,
    bar: tqdm,
) -> Iterator[dict[str, Any]]:
    """One table row per budget; the pass without eviction is shared by all of them."""
    policy, width = cell["policy"], TASKS.get(cell["task"]).needle_width
    batches = [rows.take(slice(i, i + grid.batch)) for i in range(0, len(rows), grid.batch)]
    full, traces = _full_memory(model, batches, record=policy == "oracle", bar=bar)
    for share in grid.budgets:
        budget = int(share * full_bytes(model, cell["length"]))
        parts = []
        for index, part in enumerate(batches):
            chosen = _policy(policy, [cell["seed"], index], classifier, traces[index])
            tiers = grid.tiers_of(policy)
            store = EpisodicStore(model.cfg.depth, chosen, budget_bytes=budget, tiers=tiers)
            parts.append(_stream_budgeted(model, part, store, width))
            bar.update(len(part))
        fixed = {"budget": share, "query_aware": False, "accuracy_full": float(full.mean())}
        yield fixed | _summarise(parts)


def full_bytes(model: SynapNetEdge, length: int) -> int:
    """Bytes of the full memory of one row in FP16, bookkeeping included."""
    cfg = model.cfg
    entries = length // cfg.chunk_len * min(cfg.episodic_slots, cfg.chunk_len)
    return entries * entry_bytes("fp16", cfg.heads, cfg.head_dim) * cfg.depth


def target_held(held: Tensor, targets: np.ndarray, width: int, open_from: int) -> np.ndarray:
    """Whether each layer can still reach the target of each row.

    Parameters
    ----------
    held : Tensor
        [L, B, N] positions of the stored entries, -1 = empty.
    targets : array
        [B, R] first positions of the target's copies, -1 = none.
    width : int
        Tokens of a copy. An entry is a state after the causal convolution, so the token right behind a copy
        carries it too and counts; the token before it cannot.
    open_from : int
        First token of the query's own chunk, which no eviction touches.

    Returns
    -------
    array
        [L, B] bool.
    """
    reach = torch.from_numpy(targets)[:, :, None] + torch.arange(width + 1)  # [B, R, width + 1]
    reach = reach.masked_fill(torch.from_numpy(targets < 0)[:, :, None], -2).flatten(1)
    stored = (held.cpu().long()[..., None] == reach[None, :, None, :]).any(dim=-1).any(dim=-1)
    return (stored | (reach >= open_from).any(dim=-1)).numpy()


def _rows(task: str, position: str, length: int, seed: int, samples: int) -> TaskBatch:
    found = TASKS.get(task)
    options = {"position": position} if hasattr(found, "position") else {}
    if not options and position != "anywhere":
        raise ValueError(f"task {task!r} cannot place its target {position!r}; use position 'anywhere'")
    rows = found.rows(seed, samples, length, "test", **options)
    if rows.targets.shape[1] != 1 or "target_needle" not in rows.meta:
        raise ValueError(f"task {task!r} must ask one question about known target positions")
    return rows


def _policy(
    name: str, seed: list[int], classifier: RetentionClassifier | None, trace: ReadTrace | None
) -> Policy:
    options: dict[str, dict[str, Any]] = {
        "baee": {"classifier": classifier},
        "random": {"seed": seed},
        "oracle": {"trace": trace},
    }
    return POLICIES.get(name)(**options.get(name, {}))


def _answer(model: SynapNetEdge, part: TaskBatch, store: EntryStore) -> Iterator[np.ndarray | None]:
    """Stream the rows; yield once before the query's chunk is read and once, with correct [B], after it."""
    ids = torch.from_numpy(np.ascontiguousarray(part.input_ids)).to(model.embed.token.weight.device)
    open_from = _open_from(model, ids.shape[1])
    if (part.target_pos < open_from).any():
        raise ValueError(f"questions must stand in the last chunk (from token {open_from} on)")
    state = model.init_state(len(part), store=store)
    for start in range(0, open_from, model.cfg.chunk_len):
        model.step(ids[:, start : start + model.cfg.chunk_len], state)
    yield None
    hidden, _ = model.step(ids[:, open_from:], state)
    asked = torch.from_numpy(part.target_pos[:, 0] - open_from).to(hidden.device)
    logits = model.read_out(hidden[torch.arange(len(part), device=hidden.device), asked])
    yield logits.argmax(dim=-1).cpu().numpy() == part.targets[:, 0]


def _full_memory(
    model: SynapNetEdge, batches: list[TaskBatch], *, record: bool, bar: tqdm
) -> tuple[np.ndarray, list[ReadTrace | None]]:
    """Correctness [n] of the rows without eviction, and the recorded reads if asked for."""
    correct, traces = [], []
    for part in batches:
        store = UnboundedStore(record_mass=record)
        *_, answer = _answer(model, part, store)
        correct.append(answer)
        cfg = model.cfg
        traces.append(ReadTrace.from_store(store, cfg.depth, cfg.episodic_slots) if record else None)
        bar.update(len(part))
    return np.concatenate(correct), traces


def _stream_budgeted(model: SynapNetEdge, part: TaskBatch, store: EpisodicStore, width: int) -> Streamed:
    steps = _answer(model, part, store)
    next(steps)
    open_from = _open_from(model, part.input_ids.shape[1])
    # What counts is what the query can read: after its chunk the store evicts once more.
    held = target_held(store.held_positions(), part.meta["target_needle"], width, open_from)
    used, entries = store.bytes_used(), float(store.live_entries().float().mean())
    correct = next(steps)
    used = torch.maximum(used, store.bytes_used()).cpu().numpy()
    if used.max() > store.budget:
        raise RuntimeError(f"the store holds {used.max()} bytes, its budget is {store.budget}")
    return Streamed(correct, held, used, entries)


def _open_from(model: SynapNetEdge, length: int) -> int:
    open_from = (length - 1) // model.cfg.chunk_len * model.cfg.chunk_len
    if open_from == 0:
        raise ValueError(
            f"rows of {length} tokens fit in one chunk of {model.cfg.chunk_len}: nothing to evict"
        )
    return open_from


def _summarise(parts: list[Streamed]) -> dict[str, Any]:
    correct = np.concatenate([part.correct for part in parts])
    held = np.concatenate([part.held for part in parts], axis=1)
    reached = held.any(axis=0)
    interval = wilson_interval(int(correct.sum()), correct.size)
    return {
        "n": correct.size,
        "accuracy": float(correct.mean()),
        "ci_low": interval[0],
        "ci_high": interval[1],
        "retention": float(reached.mean()),
        "retention_layers": float(held.mean()),
        "accuracy_retained": float(correct[reached].mean()) if reached.any() else math.nan,
        "accuracy_evicted": float(correct[~reached].mean()) if (~reached).any() else math.nan,
        "bytes": int(max(part.bytes.max() for part in parts)),
        "entries": float(
            np.average([part.entries for part in parts], weights=[part.correct.size for part in parts])
        ),
    }
