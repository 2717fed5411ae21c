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
from synapnet_edge.evaluation.metrics import correct_readouts
from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.tasks.base import Task, TaskBatch
from synapnet_edge.tasks.catalog import TASKS, suite_tasks

logger = logging.getLogger(__name__)

COLUMNS = [
    "suite", "task", "task_version", "model", "variant", "backend", "seed", "length", "n", "score",
    "ci_low", "ci_high", "chance", "guess",
]  # fmt: skip
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
    """Accuracy of `model` on `n` test rows of `task`.

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
        task, task_version, length, n (scored read-outs), score, ci_low, ci_high (95 % Wilson), chance, guess,
        and `correct`: bool array over the read-outs, for paired tests.
    """
    rows = task.rows(seed, n, length)
    per_batch = max(1, batch_tokens // length)
    predictions = np.empty_like(rows.targets)
    with _evaluating(model), torch.inference_mode(), _autocast(device, autocast):
        for start in range(0, n, per_batch):
            part = rows.take(slice(start, start + per_batch))
            predictions[start : start + per_batch] = _predict(model, part, device)
            if progress is not None:
                progress(part.input_ids.size)
    correct = correct_readouts(predictions, rows.targets)
    low, high = wilson_interval(int(correct.sum()), correct.size)
    return {
        "task": task.name,
        "task_version": task.version,
        "length": length,
        "n": int(correct.size),
        "score": float(correct.mean()),
        "ci_low": low,
        "ci_high": high,
        "chance": task.chance(length),
        "guess": task.guess(length),
        "correct": correct,
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
) -> pd.DataFrame:
    """Evaluate all tasks of a suite at all lengths; returns a table with the columns `COLUMNS`.

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
                del result["correct"]
                finished[key] = result
                if partial is not None:
                    write_json(partial, {"run": run, "cells": finished})
            results.append({**owner, **finished[key]})
    return pd.DataFrame(results, columns=COLUMNS)


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


def _predict(model: Callable[..., Tensor], rows: TaskBatch, device: str | torch.device) -> np.ndarray:
    """Classes [B, Q] at the rows' read-outs."""
    ids = torch.from_numpy(rows.input_ids).to(device)
    if rows.targets.shape[1] == 1 and (rows.target_pos == ids.shape[1] - 1).all():
        logits = model(ids)[:, None]
    else:
        logits = model(ids, positions=torch.from_numpy(rows.target_pos).to(device))
    return logits.argmax(-1).cpu().numpy()


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
