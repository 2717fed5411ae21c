"""Validation accuracy while training, for the curve of accuracy against cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from synapnet_edge.tasks.base import IGNORE, Task, TaskBatch
from synapnet_edge.tasks.catalog import TASKS
from synapnet_edge.training.objective import autocast, to_tensors
from synapnet_edge.training.parallel import Ranks
from synapnet_edge.training.schedule import ProbePlan

COLUMNS = [
    "step", "tokens", "seconds", "core_seconds", "task", "length", "n", "score", "ci_low", "ci_high",
    "chance",
]  # fmt: skip
ROWS_SEED = 20_250_101  # of the validation rows: the same rows for every model, trained seed and probe
BATCH_TOKENS = 16_384


class Probe:
    """Scores tasks on validation rows at the planned steps. Training data and weights are never touched.

    Parameters
    ----------
    plan : ProbePlan
    steps : int
        Length of the run.
    device : torch.device
    bfloat16 : bool
        Compute as the training does.

    Raises
    ------
    UnknownNameError, ValueError
        For a task that does not exist, or that does not fit in the planned length.
    """

    def __init__(self, plan: ProbePlan, steps: int, device: torch.device, bfloat16: bool) -> None:
        self.plan, self.device, self.bfloat16 = plan, device, bfloat16
        self.due = plan.due(steps)
        self._tasks = [TASKS.get(name) for name in plan.tasks]
        for task in self._tasks:
            task.check_length(plan.length)
        self._rows: dict[str, TaskBatch] = {}

    def run(self, model: nn.Module, ranks: Ranks, spent: dict[str, float]) -> list[dict[str, Any]]:
        """One row per task; `spent` (step, tokens, seconds, core_seconds) is copied into each.

        The processes of a run share the sequences between them.
        """
        training = model.training
        model.eval()
        try:
            return [{**spent, **self._score(model, task, ranks)} for task in self._tasks]
        finally:
            model.train(training)

    def _score(self, model: nn.Module, task: Task, ranks: Ranks) -> dict[str, Any]:
        length = self.plan.length
        if task.name not in self._rows:
            rows = task.rows(ROWS_SEED, self.plan.samples, length, split="validation")
            self._rows[task.name] = rows.take(np.arange(ranks.rank, self.plan.samples, ranks.size))
        correct, n = (int(value) for value in ranks.total(self._count(model, self._rows[task.name])))
        low, high = wilson(correct, n)
        return {
            "task": task.name,
            "length": length,
            "n": n,
            "score": correct / n,
            "ci_low": low,
            "ci_high": high,
            "chance": task.chance(length),
        }

    @torch.inference_mode()
    def _count(self, model: nn.Module, rows: TaskBatch) -> tuple[int, int]:
        """Right and scored read-outs of these rows."""
        per_batch = max(1, BATCH_TOKENS // self.plan.length)
        correct = n = 0
        for start in range(0, len(rows), per_batch):
            part = rows.take(slice(start, start + per_batch))
            ids, positions, targets = to_tensors(part, self.device)
            with autocast(self.device, self.bfloat16):
                predictions = model(ids, positions).argmax(-1)
            valid = targets != IGNORE
            correct += int((predictions == targets)[valid].sum())
            n += int(valid.sum())
        return correct, n


def wilson(correct: int, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927).

    Written out here so that an edit of the evaluation code does not re-run training.
    """
    z = 1.959963984540054
    share, spread = correct / n, z * z / n
    centre = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))
