"""Whether the packed runtimes answer as the reference does: the same rows through each of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synapnet_edge.evaluation.runner import COLUMNS, run_suite
from synapnet_edge.runtime.load import load_model
from synapnet_edge.runtime.session import BackendUnavailable

logger = logging.getLogger(__name__)

BACKEND_COLUMNS = [*COLUMNS, "read_outs", "same_answer", "same_answer_rounded", "status"]
REFERENCE, ROUNDED = "reference", "reference, int8 activations"


def compare_backends(
    path: str | Path,
    cfg: Mapping[str, Any],
    runtimes: Sequence[str],
    *,
    model_name: str,
    variant: str,
    seed: int,
    threads: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Score a packed file on the same rows through every backend, in float32.

    Parameters
    ----------
    path : packed file.
    cfg : mapping
        `tasks`, `lengths`, `samples` and `test_seed`, see `run_suite`.
    runtimes : sequence of str
        Names of `runtime.load.BACKENDS`; one that cannot run here gets one row that says why in `status`.

    Returns
    -------
    DataFrame
        `COLUMNS` of a benchmark and, for each cell, `read_outs` (answers in it), `same_answer` (share of
        them equal to the reference's) and `same_answer_rounded` (to those of the reference with activations
        rounded to int8 where the runtimes round them; NaN for a file without packed weights).
    """
    owner = {"model_name": model_name, "variant": variant, "seed": seed, "progress": progress}
    answers: dict[str, list[np.ndarray]] = {}
    tables = []
    for backend in (REFERENCE, ROUNDED, *runtimes):
        try:
            model = _load(path, backend, threads)
        except BackendUnavailable as error:
            logger.warning("%s", error)
            missing = {"model": model_name, "variant": variant, "seed": seed, "status": str(error)}
            tables.append(pd.DataFrame([{**missing, "backend": backend}]))
            continue
        if model is None:
            continue
        heard = _Listening(model)
        table, _ = run_suite(heard, "backends", cfg, backend=backend, **owner)
        answers[backend] = heard.cells(table)
        for column, other in (("same_answer", REFERENCE), ("same_answer_rounded", ROUNDED)):
            pairs = zip(answers[backend], answers[other], strict=True) if other in answers else ()
            table[column] = [float((mine == theirs).mean()) for mine, theirs in pairs] or np.nan
        table["read_outs"] = [found.size for found in answers[backend]]
        tables.append(table.assign(status="ok"))
    return pd.concat(tables, ignore_index=True)[BACKEND_COLUMNS]


def _load(path: str | Path, backend: str, threads: int) -> Callable[..., Tensor] | None:
    """The model behind one name; None for rounded activations of a file without packed weights."""
    if backend not in (REFERENCE, ROUNDED):
        return load_model(path, backend, threads=threads)
    model = load_model(path, "reference").eval()
    if backend == ROUNDED:
        packed = model.quantization is not None and len(model.quantization.packed) > 0
        return load_model(path, "reference", activations="int8").eval() if packed else None
    return model


class _Listening:
    """A model that keeps the answers it has given."""

    def __init__(self, model: Callable[..., Tensor]) -> None:
        self._model = model
        self._given: list[np.ndarray] = []

    def __call__(self, ids: Tensor, **asked: Tensor) -> Tensor:
        with torch.inference_mode():
            logits = self._model(ids, **asked)
        self._given.append(logits.argmax(-1).reshape(ids.shape[0], -1).numpy())
        return logits

    def cells(self, table: pd.DataFrame) -> list[np.ndarray]:
        """The answers of each cell of the table, [rows, read-outs]."""
        given, found = iter(self._given), []
        for rows in table["n"]:
            parts: list[np.ndarray] = []
            while sum(len(part) for part in parts) < rows:
                parts.append(next(given))
            found.append(np.concatenate(parts))
        return found
