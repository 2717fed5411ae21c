"""The grid of a cache policy on the trained Llama: accuracy at every budget, as in the eviction grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from synapnet_edge.baselines.kv.base import KV_POLICIES, CachedLlama, KVPolicy, answer
from synapnet_edge.baselines.kv.locret import fit_heads
from synapnet_edge.baselines.llama import Llama
from synapnet_edge.evaluation.eviction_measures import target_held
from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.catalog import TASKS

COLUMNS = [
    "task", "policy", "budget", "position", "length", "seed", "query_aware", "n", "accuracy", "ci_low",
    "ci_high", "retention", "accuracy_full", "bytes", "full_bytes", "keys_per_head",
]  # fmt: skip


def run_kv_policy(
    model: Llama,
    policy: str,
    cfg: Mapping[str, Any],
    *,
    seed: int,
    mixture: Mapping[str, float],
    autocast: bool = False,
) -> pd.DataFrame:
    """Answer the grid's rows under one policy at every budget.

    Parameters
    ----------
    cfg : mapping
        `task`, `length`, `samples`, `budgets` (bytes as shares of the full cache), `piece` (tokens between
        decisions), `question` (tokens of the last piece, that no query-agnostic decision sees), `positions`,
        `locret` (settings of its heads).
    mixture : mapping
        Task to weight, for heads that are trained.

    Returns
    -------
    DataFrame
        `COLUMNS`. `retention`: share of rows whose target is kept by some head of some layer. `bytes`: of
        one stream when the answer is read, positions and notes included; never above the budget plus the
        question's own keys.
    """
    chosen = KV_POLICIES.get(policy)
    model.eval()
    settings: dict[str, Any] = {"seed": seed}
    if policy == "locret":
        settings["heads"] = fit_heads(model, mixture, cfg["locret"], seed)
    rows = []
    device = model.embed.token.weight.device.type
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        for position in cfg["positions"]:
            batch = _rows(cfg, position, seed)
            cell = {"task": cfg["task"], "policy": policy, "position": position, "length": cfg["length"]}
            rows += [cell | {"seed": seed} | row for row in _cells(model, chosen, batch, cfg, settings)]
    return pd.DataFrame(rows, columns=COLUMNS)


def capacity_of(policy: type[KVPolicy], share: float, prompt: int, head_dim: int) -> int:
    """Keys per head whose bytes, positions and notes included, are `share` of the full cache's."""
    full = prompt * 4 * head_dim
    return max(1, int(share * full / (4 * head_dim + 4 * (1 + len(policy.notes)))))


def _rows(cfg: Mapping[str, Any], position: str, seed: int) -> TaskBatch:
    task = TASKS.get(cfg["task"])
    options = {"position": position} if hasattr(task, "position") else {}
    if not options and position != "anywhere":
        raise ValueError(f"task {task.name!r} cannot place its target {position!r}; use position 'anywhere'")
    return task.rows(seed, cfg["samples"], cfg["length"], "test", **options)


def _cells(
    model: Llama,
    policy: type[KVPolicy],
    rows: TaskBatch,
    cfg: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    ids = torch.from_numpy(np.ascontiguousarray(rows.input_ids)).to(model.embed.token.weight.device)
    length, depth = ids.shape[1], len(model.blocks)
    open_from = (length - 1) // cfg["question"] * cfg["question"]
    if (rows.target_pos != length - 1).any() or open_from == 0:
        raise ValueError(f"task {cfg['task']!r}: expected one question at the end of more than one piece")
    plan = {"piece": cfg["piece"], "open_from": open_from}
    logits, whole = answer(model, ids, None, **plan)
    full = _right(logits, rows)
    for aware in (False,) if policy.streaming else (False, True):
        prompt = length if aware else open_from
        for share in cfg["budgets"]:
            capacity = capacity_of(policy, share, prompt, model.cfg.head_dim)
            logits, run = answer(model, ids, policy(capacity, depth, settings), query_aware=aware, **plan)
            right = _right(logits, rows)
            low, high = wilson_interval(int(right.sum()), len(right))
            yield {
                "budget": share,
                "query_aware": aware,
                "n": len(right),
                "accuracy": float(right.mean()),
                "ci_low": low,
                "ci_high": high,
                "retention": float(_held(run, rows, open_from, cfg["task"]).mean()),
                "accuracy_full": float(full.mean()),
                "bytes": run.nbytes(),
                "full_bytes": whole.nbytes(),
                "keys_per_head": capacity,
            }


def _right(logits: torch.Tensor, rows: TaskBatch) -> np.ndarray:
    return logits.argmax(-1).cpu().numpy() == rows.targets[:, 0]


def _held(run: CachedLlama, rows: TaskBatch, open_from: int, task: str) -> np.ndarray:
    """Whether some head of some layer still has a key of the target, [B] bool."""
    if "target_needle" not in rows.meta:
        return np.full(len(rows), np.nan)
    width = TASKS.get(task).needle_width
    held = [
        target_held(cache.position.flatten(1)[None], rows.meta["target_needle"], width, open_from)
        for cache in run.caches
    ]
    return np.concatenate(held).any(axis=0)
