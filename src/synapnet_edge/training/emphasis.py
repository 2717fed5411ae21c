"""Training batches follow the losses: a task that is solved is drawn less, one that is not, more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from synapnet_edge.tasks.base import IGNORE

MEMORY = 0.97  # of a task's average loss, per step in which it was drawn


class Emphasis:
    """Factors on the weights of a mixture, `1 - strength + strength * loss`.

    `loss` is a running mean of the task's cross entropy: 0 at the least possible, 1 at that of a uniform
    guess or more, and 1 before the task has been seen. With fixed weights most answers of a long training are
    those of tasks that were solved early.

    Parameters
    ----------
    tasks : mapping
        Names in the order of the mixture, and the least possible cross entropy of each in units of a uniform
        guess's: 0 where one answer is right, log m / log C where one of m is the target.
    strength : float
        0 = weights as they are; 1 = a solved task is not drawn any more.

    Attributes
    ----------
    records : list of dict
        One row, task to loss: the whole state, for checkpoints.

    Raises
    ------
    ValueError
        If not 0 <= strength < 1: a task that is never drawn could be forgotten unseen.
    """

    def __init__(self, tasks: Mapping[str, float], strength: float) -> None:
        if not 0 <= strength < 1:
            raise ValueError(f"emphasis: found {strength}, expected at least 0 and less than 1")
        self.tasks, self.strength = dict(tasks), strength
        self.records: list[dict[str, Any]] = [dict.fromkeys(self.tasks, 1.0)]

    def factors(self) -> dict[str, float]:
        """Factor of every task's weight, in (0, 1]."""
        return {task: 1 - self.strength * (1 - loss) for task, loss in self.records[0].items()}

    def update(self, sums: Sequence[float]) -> None:
        """Take in a step's `task_sums`, added up over all processes."""
        losses, counts = sums[: len(self.tasks)], sums[len(self.tasks) :]
        row = self.records[0]
        for (task, least), loss, count in zip(self.tasks.items(), losses, counts, strict=True):
            if count:
                share = (loss / count - least) / (1 - least)
                row[task] = MEMORY * row[task] + (1 - MEMORY) * min(1.0, max(0.0, share))


@torch.no_grad()
def task_sums(logits: Tensor, targets: Tensor, task: Tensor, tasks: int) -> Tensor:
    """Cross entropies in units of a uniform guess's, added up by task, and how many they are: [2 tasks].

    Parameters
    ----------
    logits : Tensor
        [B, Q, C].
    targets : Tensor
        [B, Q] int64, -100 = no read-out.
    task : Tensor
        [B] int64, the task of every row.
    """
    losses = F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="none"
    )
    losses = losses.view_as(targets).sum(1) / math.log(logits.shape[-1])
    counts = (targets != IGNORE).sum(1).to(losses.dtype)
    sums = losses.new_zeros(2, tasks).index_add_(1, task, torch.stack([losses, counts]))
    return sums.flatten()
