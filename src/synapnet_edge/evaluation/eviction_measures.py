"""What is counted beside answers: is the target held, where is it read, what would an oracle keep."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from synapnet_edge.memory.traces import ReadTrace


class FullPass(NamedTuple):
    """What a pass with full memory shows of B rows.

    Attributes
    ----------
    correct : array
        [B] bool.
    trace : ReadTrace
        Its reads.
    reader : array
        [B] layer in which the question's chunk reads the target most; -1 if none reads it.
    """

    correct: np.ndarray
    trace: ReadTrace
    reader: np.ndarray


def reach_of(targets: np.ndarray, width: int) -> Tensor:
    """Positions [B, R (width + 1)] at which an entry can carry a copy of the target; -2 = none.

    An entry is a state after the causal convolution, so the token right behind a copy carries it too; the
    token before it cannot.
    """
    reach = torch.from_numpy(targets)[:, :, None] + torch.arange(width + 1)
    return reach.masked_fill(torch.from_numpy(targets < 0)[:, :, None], -2).flatten(1)


def target_held(held: Tensor, targets: np.ndarray, width: int, open_from: int) -> np.ndarray:
    """Whether each layer can still reach the target of each row.

    Parameters
    ----------
    held : Tensor
        [L, B, N] positions of the stored entries, -1 = empty.
    targets : array
        [B, R] first positions of the target's copies, -1 = none.
    width : int
        Tokens of a copy, see `reach_of`.
    open_from : int
        First token of the query's own chunk, which no eviction touches.

    Returns
    -------
    array
        [L, B] bool.
    """
    reach = reach_of(targets, width)
    stored = (held.cpu().long()[..., None] == reach[None, :, None, :]).any(dim=-1).any(dim=-1)
    return (stored | (reach >= open_from).any(dim=-1)).numpy()


def reading_layer(trace: ReadTrace, targets: np.ndarray, width: int, chunk: int) -> np.ndarray:
    """[B] layer whose reads of `chunk` give the target's entries most probability; -1: none gives any."""
    reach = reach_of(targets, width)
    carries = (trace.position.long()[..., None] == reach[None, :, None, :]).any(dim=-1)  # [L, B, N]
    mass = (trace.mass[chunk] * carries).sum(dim=-1)
    best = mass.max(dim=0)
    return best.indices.masked_fill(best.values <= 0, -1).numpy()


def oracle_precision(held: Tensor, trace: ReadTrace, chunk: int, budget_entries: int) -> np.ndarray:
    """Share [B] of the entries an oracle would keep that are held, mean over layers.

    Parameters
    ----------
    held : Tensor
        [L, B, N] positions, -1 = empty.
    trace : ReadTrace
        Recorded with full memory on the same rows.
    chunk : int
        The question's chunk: the oracle keeps what it reads most.
    budget_entries : int
        Entries per layer the budget pays for in FP16.
    """
    known = trace.mass[chunk][..., trace.written < chunk]
    k = min(budget_entries, known.shape[-1])
    best = known.topk(k, dim=-1).indices
    wanted = trace.position[..., : known.shape[-1]].long().gather(-1, best)  # [L, B, k]
    last = int(max(trace.position.max(), held.max())) + 2
    present = torch.zeros(*held.shape[:2], last)
    present.scatter_(-1, held.cpu().long() + 1, 1.0)  # slot 0 collects the empty ones
    present[..., 0] = 0.0
    return present.gather(-1, wanted + 1).mean(dim=(0, 2)).numpy()


def held_by_reader(held: np.ndarray, reader: np.ndarray) -> np.ndarray:
    """[B] whether the layer that reads the target without eviction holds it; rows no layer reads: False."""
    return held[reader.clip(min=0), np.arange(held.shape[1])] & (reader >= 0)
