"""Answers under a memory budget: one policy on all cells of the eviction grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from synapnet_edge.evaluation.eviction_cells import (
    QUERY_AWARE,
    EvictionGrid,
    eviction_rows,
    full_bytes,
    full_entries,
)
from synapnet_edge.evaluation.eviction_measures import (
    FullPass,
    held_by_reader,
    oracle_precision,
)
from synapnet_edge.evaluation.eviction_stream import (
    Streamed,
    full_memory,
    open_chunk,
    stream_budgeted,
    stream_query_aware,
)
from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.memory.policies import POLICIES, Policy
from synapnet_edge.memory.retention import RetentionClassifier
from synapnet_edge.memory.store import EpisodicStore
from synapnet_edge.memory.traces import ReadTrace
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.policy_names import split_policy
from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.catalog import TASKS

CELL = ["task", "policy", "budget", "position", "length", "seed", "query_aware"]
COLUMNS = [
    *CELL, "n", "accuracy", "ci_low", "ci_high", "retention", "retention_same_layer", "accuracy_retained",
    "accuracy_evicted", "accuracy_full", "bytes", "bytes_mean", "retention_layers", "entries", "precision",
    "state_bytes",
]  # fmt: skip
ROW_COLUMNS = [*CELL, "row", "correct", "held"]


@torch.inference_mode()
def run_policy(
    model: SynapNetEdge,
    policy: str,
    cfg: Mapping[str, Any],
    *,
    seed: int,
    classifier: RetentionClassifier | None = None,
    heads: nn.ModuleList | None = None,
    autocast: bool = False,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Stream every cell of the grid under `policy` at equal bytes.

    Eviction is query-agnostic: it happens when a chunk is finished and sees nothing of later chunks. The
    oracle is the exception by definition: it knows the reads of a recorded pass with full memory. Cells with
    `query_aware` are apart: there the policy compresses once, after it has seen the question, and every
    policy keeps FP16 entries alone.

    Parameters
    ----------
    model : SynapNetEdge
        Classification head.
    policy : str
        Name in `POLICIES`, with entry formats behind it or without (`policy_names`).
    cfg : mapping
        See `EvictionGrid`.
    seed : int
        Seed of the rows (and of the random policy).
    classifier : RetentionClassifier, optional
        For "baee"; without one its scores are accumulated read mass plus salience.
    heads : ModuleList, optional
        For "locret".
    autocast : bool
        Run the model under bfloat16 autocast.

    Returns
    -------
    cells : DataFrame
        `COLUMNS`, one row per task, position, length, budget and protocol. `retention`: share of rows whose
        target the query can reach, that is held in at least one layer or still in the open chunk;
        `retention_same_layer`: held in the very layer that reads it when nothing is evicted, which is what
        `accuracy_retained` and `accuracy_evicted` distinguish; `retention_layers`: mean share of layers;
        `precision`: share of what an oracle would keep for the question that is held, mean over layers;
        `bytes`, `bytes_mean`: largest and mean number of bytes of a stream; `state_bytes`: bytes per stream
        that the policy keeps outside of entries (weights, moments), not part of the budget; `entries`: mean
        number of entries per layer when the query is read.
    rows : DataFrame
        `ROW_COLUMNS`, one line per row: correct, and held in the layer that reads it.
    """
    grid = EvictionGrid.from_dict(cfg)
    POLICIES.get(split_policy(policy)[0])
    if model.cfg.head != "classification":
        raise ValueError(f"eviction needs a classification head, the model has head={model.cfg.head!r}")
    model.eval()
    cells = grid.cells()
    total = len(cells) * (1 + len(grid.budgets)) * grid.samples
    device = model.embed.token.weight.device.type
    given = {"classifier": classifier, "heads": heads}
    lines, answers = [], []
    with (
        torch.autocast(device, torch.bfloat16, enabled=autocast),
        tqdm(total=total, desc=policy, unit="row", disable=not progress) as bar,
    ):
        for task, position, length in cells:
            rows = eviction_rows(task, position, length, seed, grid.samples)
            cell = {"task": task, "policy": policy, "position": position, "length": length, "seed": seed}
            for (share, query_aware), found in _run_cell(model, grid, cell, rows, given, bar).items():
                key = cell | {"budget": share, "query_aware": query_aware}
                lines.append(key | _summarise(found))
                answers.append(_rows_of(key, found))
    return pd.DataFrame(lines)[COLUMNS], pd.concat(answers, ignore_index=True)[ROW_COLUMNS]


_Found = list[tuple[FullPass, Streamed, np.ndarray]]


def _run_cell(
    model: SynapNetEdge,
    grid: EvictionGrid,
    cell: Mapping[str, Any],
    rows: TaskBatch,
    given: Mapping[str, Any],
    bar: tqdm,
) -> dict[tuple[float, bool], _Found]:
    """Batches by (budget, query-aware); the pass without eviction is shared by all of them."""
    policy, width = cell["policy"], TASKS.get(cell["task"]).needle_width
    found: dict[tuple[float, bool], _Found] = {(share, False): [] for share in grid.budgets}
    aware = grid.query_aware and policy in QUERY_AWARE
    found |= {(share, True): [] for share in grid.budgets if aware}
    for index, start in enumerate(range(0, len(rows), grid.batch)):
        part = rows.take(slice(start, start + grid.batch))
        full = full_memory(model, part, width)
        chosen = {**given, "seed": [cell["seed"], index], "trace": full.trace}
        for (share, query_aware), streamed in _stream_all(model, grid, cell, part, chosen, aware, width):
            kept = int(share * full_entries(model, cell["length"]))
            chunk = open_chunk(model, cell["length"]) // model.cfg.chunk_len
            precision = oracle_precision(streamed.positions, full.trace, chunk, kept)
            found[share, query_aware].append((full, streamed, precision))
            bar.update(0 if query_aware else len(part))
        bar.update(len(part))
    return found


def _stream_all(
    model: SynapNetEdge,
    grid: EvictionGrid,
    cell: Mapping[str, Any],
    part: TaskBatch,
    chosen: Mapping[str, Any],
    aware: bool,
    width: int,
) -> Iterator[tuple[tuple[float, bool], Streamed]]:
    (name, tiers), depth = split_policy(cell["policy"]), model.cfg.depth
    budgets = {share: int(share * full_bytes(model, cell["length"])) for share in grid.budgets}
    for share, budget in budgets.items():
        store = EpisodicStore(depth, make_policy(name, **chosen), budget_bytes=budget, tiers=tiers)
        yield (share, False), stream_budgeted(model, part, store, width)
    if aware:
        everything = full_entries(model, cell["length"]) + model.cfg.episodic_slots
        store = EpisodicStore(depth, make_policy(name, **chosen), entries_per_layer=2 * everything)
        streamed = stream_query_aware(model, part, store, list(budgets.values()), width)
        yield from (((share, True), one) for share, one in zip(budgets, streamed, strict=True))


def make_policy(
    name: str,
    *,
    seed: list[int] | int = 0,
    classifier: RetentionClassifier | None = None,
    heads: nn.ModuleList | None = None,
    trace: ReadTrace | None = None,
) -> Policy:
    """The policy called `name` with those of the arguments that it takes."""
    options: dict[str, dict[str, Any]] = {
        "baee": {"classifier": classifier},
        "locret": {"heads": heads},
        "random": {"seed": seed},
        "oracle": {"trace": trace},
    }
    return POLICIES.get(name)(**options.get(name, {}))


def _summarise(found: _Found) -> dict[str, Any]:
    correct = np.concatenate([streamed.correct for _, streamed, _ in found])
    held = np.concatenate([streamed.held for _, streamed, _ in found], axis=1)
    reader = np.concatenate([full.reader for full, _, _ in found])
    used = np.concatenate([streamed.bytes for _, streamed, _ in found])
    same = held_by_reader(held, reader)
    interval = wilson_interval(int(correct.sum()), correct.size)
    sizes = [streamed.correct.size for _, streamed, _ in found]
    return {
        "n": correct.size,
        "accuracy": float(correct.mean()),
        "ci_low": interval[0],
        "ci_high": interval[1],
        "retention": float(held.any(axis=0).mean()),
        "retention_same_layer": float(same.mean()),
        "retention_layers": float(held.mean()),
        "accuracy_retained": float(correct[same].mean()) if same.any() else math.nan,
        "accuracy_evicted": float(correct[~same].mean()) if (~same).any() else math.nan,
        "accuracy_full": float(np.concatenate([full.correct for full, _, _ in found]).mean()),
        "bytes": int(used.max()),
        "bytes_mean": float(used.mean()),
        "entries": float(np.average([streamed.entries for _, streamed, _ in found], weights=sizes)),
        "precision": float(np.concatenate([precision for _, _, precision in found]).mean()),
        "state_bytes": max(streamed.state_bytes for _, streamed, _ in found),
    }


def _rows_of(key: Mapping[str, Any], found: _Found) -> pd.DataFrame:
    correct = np.concatenate([streamed.correct for _, streamed, _ in found])
    same = [held_by_reader(streamed.held, full.reader) for full, streamed, _ in found]
    table = pd.DataFrame({"row": np.arange(correct.size), "correct": correct.astype(int)})
    return table.assign(held=np.concatenate(same).astype(int), **key)
