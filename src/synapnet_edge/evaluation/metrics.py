"""Scores of predictions; read-outs whose target is -100 never count."""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.base import IGNORE


def correct_readouts(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether every scored read-out is right, flat bool array over the targets that are not -100.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predictions, targets = np.asarray(predictions), np.asarray(targets)
    if predictions.shape != targets.shape:
        raise ValueError(f"expected predictions of shape {targets.shape}, got {predictions.shape}")
    return (predictions == targets)[targets != IGNORE]


def accuracy(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Share of right read-outs; raises ValueError if there is nothing to score."""
    correct = correct_readouts(predictions, targets)
    if correct.size == 0:
        raise ValueError("no read-out to score: every target is -100")
    return float(correct.mean())


def accuracy_from_logits(logits: np.ndarray, targets: np.ndarray) -> float:
    """Accuracy of the argmax over the last axis: logits [..., C], targets [...]."""
    return accuracy(np.asarray(logits).argmax(-1), targets)


def mean_absolute_error(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Mean |prediction - target| over scored read-outs, for counting tasks (class = count)."""
    predictions, targets = np.asarray(predictions), np.asarray(targets)
    scored = targets != IGNORE
    if not scored.any():
        raise ValueError("no read-out to score: every target is -100")
    return float(np.abs(predictions - targets)[scored].mean())


def above_guess(score: float, guess: float) -> float:
    """(score - guess) / (1 - guess), not below 0; nan where the shortcut already solves the task.

    Keeps the level of a trivial strategy from looking like skill in an average over tasks.
    """
    if guess >= 1:
        return float("nan")
    return max(0.0, (score - guess) / (1 - guess))
