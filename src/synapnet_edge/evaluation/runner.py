"""Run tasks on a model and return the benchmark table."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from synapnet_edge.artifacts import read_json, write_json
from synapnet_edge.cells import Cell, cells_of, grids
from synapnet_edge.evaluation.scores import METRICS, above_guess, mean_interval
from synapnet_edge.tasks.base import Task, TaskBatch
from synapnet_edge.tasks.catalog import TASKS, suite_tasks

logger = logging.getLogger(__name__)

COLUMNS = [
    "suite", "task", "task_version", "model", "variant", "backend", "seed", "length", "metric", "n", "score",
    "ci_low", "ci_high", "chance", "guess", "above_guess",
]  # fmt: skip
ROW_COLUMNS = ["suite", "task", "model", "variant", "seed", "length", "metric", "row", "depth", "score"]
_CONFIG_KEYS = ("tasks", "lengths", "samples", "cells", "test_seed")
BATCH_TOKENS = 65536  # bounds the memory of an evaluation at any length that fits in it


def evaluate_task(
    model: Callable[..., Tensor],
    task: Task,
    *,
    seed: int,
    n: int,
    length: int,
    batch_tokens: int = BATCH_TOKENS,
    device: str | torch.device = "cpu",
    autocast: bool = False,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Score `model` on `n` test rows of `task`, by the task's metrics.

    Parameters
    ----------
    model : callable or nn.Module
        `model(ids [B, T]) -> logits [B, C]` at the last token; rows with several read-outs are asked with
        `model(ids, positions=[B, Q]) -> [B, Q, C]`. A module is put in eval mode meanwhile.
    seed : int
        Seed of the rows, the same for every model and variant that is to be compared.
    batch_tokens : int
        Rows per batch = batch_tokens // length, at least one.
    autocast : bool
        Compute in bfloat16 where the operator allows it.
    progress : callable, optional
        Called with the number of tokens of every finished batch.

    Returns
    -------
    dict
        task, task_version, length, and of the task's first metric: metric, n (rows), score, ci_low, ci_high
        (95 %, `mean_interval`), chance, guess, above_guess; `scores`: metric -> [n] one for each row, for
        paired tests; `depth`: [n] where the answer stands, nan if it stands in many places. Of a task that
        asks at several depths also `read_out_depth` and `read_out_score`, [n, Q].
    """
    rows = task.rows(seed, n, length)
    per_batch = max(1, batch_tokens // length)
    scores: dict[str, list[np.ndarray]] = {metric: [] for metric in task.metrics}
    right: list[np.ndarray] = []
    with _evaluating(model), torch.inference_mode(), _autocast(device, autocast):
        for start in range(0, n, per_batch):
            part = rows.take(slice(start, start + per_batch))
            logits = _logits(model, part, device)
            for metric, parts in scores.items():
                parts.append(METRICS[metric](logits, part))
            right.append(logits.argmax(-1) == part.targets)
            if progress is not None:
                progress(part.input_ids.size)
    by_metric = {metric: np.concatenate(parts) for metric, parts in scores.items()}
    main = by_metric[task.metrics[0]]
    low, high = mean_interval(main)
    guess = task.guess(length)
    return {
        "task": task.name,
        "task_version": task.version,
        "length": length,
        "metric": task.metrics[0],
        "n": n,
        "score": float(main.mean()),
        "ci_low": low,
        "ci_high": high,
        "chance": task.chance(length),
        "guess": guess,
        "above_guess": above_guess(float(main.mean()), guess),
        "scores": by_metric,
        "depth": np.asarray(rows.meta.get("depth", np.full(n, np.nan)), dtype=float),
        **_by_read_out(rows, np.concatenate(right)),
    }


def run_suite(
    model: Callable[..., Tensor],
    suite: str,
    cfg: Mapping[str, Any],
    *,
    model_name: str,
    variant: str,
    backend: str,
    seed: int,
    progress: bool = True,
    partial: str | Path | None = None,
    identity: str = "",
    batch_tokens: int = BATCH_TOKENS,
    device: str | torch.device = "cpu",
    autocast: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Evaluate all tasks of a suite at all lengths.

    Parameters
    ----------
    cfg : mapping
        `test_seed` and `tasks` (registry names; default all tasks of `suite`), `lengths` and `samples` (a
        number, or one for each length), or `cells`: a list of such grids. The rows depend on these only, not
        on the variant or the trained seed.
    seed : int
        Seed the model was trained with; a column of the table.
    partial : path, optional
        JSON file that receives every finished cell, so that a killed run continues. The caller deletes it.
    identity : str
        Says which weights `partial` belongs to (such as a file hash); a partial file of others is ignored.

    Returns
    -------
    table, rows : DataFrame
        One line for each task and length (`COLUMNS`), and one for each of their rows and metrics
        (`ROW_COLUMNS`), in the order of the rows.

    Raises
    ------
    ValueError
        Before anything runs: unknown task or key, missing value, or a task that does not fit in a length.
    """
    cells = plan_cells(suite, cfg)
    owner = {
        "suite": suite,
        "model": model_name,
        "variant": variant,
        "backend": backend,
        "seed": seed,
    }
    run = {**owner, "test_seed": cfg["test_seed"], "autocast": autocast, "identity": identity}
    finished = _load_partial(partial, run)
    results = []
    tokens = sum(cell.n * cell.length for cell in cells)
    with tqdm(total=tokens, unit="tok", unit_scale=True, disable=not progress) as bar:
        for number, cell in enumerate(cells, start=1):
            task = TASKS.get(cell.task)
            bar.set_description(f"{variant} {number}/{len(cells)} {cell.task}@{cell.length}")
            key = f"{cell.task} v{task.version} length={cell.length} n={cell.n}"
            if key in finished:
                bar.update(cell.n * cell.length)
            else:
                result = evaluate_task(
                    model,
                    task,
                    seed=cfg["test_seed"],
                    n=cell.n,
                    length=cell.length,
                    batch_tokens=batch_tokens,
                    device=device,
                    autocast=autocast,
                    progress=bar.update,
                )
                finished[key] = _plain(result)
                if partial is not None:
                    write_json(partial, {"run": run, "cells": finished})
            results.append({**owner, **finished[key]})
    return pd.DataFrame(results, columns=COLUMNS), _row_table(results)


def plan_cells(suite: str, cfg: Mapping[str, Any]) -> list[Cell]:
    """The checked cells of a suite configuration, see `cells.cells_of`."""
    unknown = sorted(set(cfg) - set(_CONFIG_KEYS))
    if unknown:
        raise ValueError(f"suite {suite!r}: unknown keys {unknown}, expected {list(_CONFIG_KEYS)}")
    if "test_seed" not in cfg:
        raise ValueError(f"suite {suite!r}: missing key 'test_seed', got {sorted(cfg)}")
    block = {key: value for key, value in cfg.items() if key != "test_seed"}
    if "cells" not in block and not block.get("tasks"):
        block["tasks"] = suite_tasks(suite)
    for grid in grids(block):
        for name in grid.get("tasks", ()):
            TASKS.get(name)  # raises with near matches
    try:
        cells = cells_of(block)
    except ValueError as error:
        raise ValueError(f"suite {suite!r}: {error}") from error
    for cell in cells:
        TASKS.get(cell.task).check_length(cell.length)
    return cells


def _logits(model: Callable[..., Tensor], rows: TaskBatch, device: str | torch.device) -> np.ndarray:
    """Logits [B, Q, C] at the rows' read-outs."""
    ids = torch.from_numpy(rows.input_ids).to(device)
    if rows.targets.shape[1] == 1 and (rows.target_pos == ids.shape[1] - 1).all():
        logits = model(ids)[:, None]
    else:
        logits = model(ids, positions=torch.from_numpy(rows.target_pos).to(device))
    return logits.float().cpu().numpy()


def _plain(result: dict[str, Any]) -> dict[str, Any]:
    """A result that JSON can hold."""
    scores = {metric: values.tolist() for metric, values in result["scores"].items()}
    depth = [None if np.isnan(value) else float(value) for value in result["depth"]]
    by_read_out = {key: result[key].tolist() for key in ("read_out_depth", "read_out_score") if key in result}
    return {**result, "scores": scores, "depth": depth, **by_read_out}


def _by_read_out(rows: TaskBatch, right: np.ndarray) -> dict[str, np.ndarray]:
    """Depth and score of single read-outs, if a row asks at several depths (`depth_index`, tenths)."""
    index = rows.meta.get("depth_index")
    if index is None or index.shape != right.shape:
        return {}
    return {"read_out_depth": index / 10, "read_out_score": right.astype(float)}


def _row_table(results: list[dict[str, Any]]) -> pd.DataFrame:
    """One line for each row and metric, and one for each read-out where rows ask at several depths."""
    tables = []
    for result in results:
        cell = {key: result[key] for key in ROW_COLUMNS[:6]}
        depth = np.array(result["depth"], dtype=float)
        row = np.arange(len(depth))
        parts = [(metric, row, depth, scores) for metric, scores in result["scores"].items()]
        if "read_out_depth" in result:
            depths, right = np.array(result["read_out_depth"]), np.array(result["read_out_score"])
            row = np.repeat(np.arange(len(depths)), depths.shape[1])
            parts.append(("readout_accuracy", row, depths.ravel(), right.ravel()))
        for metric, row, at, score in parts:
            columns = {"metric": metric, "row": row, "depth": at, "score": np.asarray(score, dtype=float)}
            tables.append(pd.DataFrame({**cell, **columns}, columns=ROW_COLUMNS))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=ROW_COLUMNS)


def _load_partial(path: str | Path | None, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Finished cells of an earlier attempt at the same run."""
    if path is None or not Path(path).exists():
        return {}
    stored = read_json(path)
    if stored.get("run") != run:
        logger.warning("%s belongs to another run (%s); starting afresh", path, stored.get("run"))
        return {}
    logger.info("%s: continuing after %d finished cells", path, len(stored["cells"]))
    return stored["cells"]


@contextlib.contextmanager
def _evaluating(model: object):
    """Eval mode for a module, restored afterwards; nothing for a plain callable."""
    if not isinstance(model, torch.nn.Module):
        yield
        return
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _autocast(device: str | torch.device, enabled: bool) -> contextlib.AbstractContextManager:
    if not enabled:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
