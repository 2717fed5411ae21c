"""Scores of single rows: what each metric makes of a row's logits, and the interval of their mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from synapnet_edge.evaluation.sequence_metrics import SEQUENCE_METRICS
from synapnet_edge.evaluation.statistics import Interval, wilson_interval
from synapnet_edge.tasks.base import IGNORE, TaskBatch
from synapnet_edge.tasks.sets import SetBatch, recall_at

RESAMPLES = 2000


def accuracy(logits: np.ndarray, rows: TaskBatch) -> np.ndarray:
    """Share of right read-outs of every row, [B]."""
    scored = _scored(rows)
    right = (logits.argmax(-1) == rows.targets) & scored
    return right.sum(1) / scored.sum(1)


def recall(logits: np.ndarray, rows: SetBatch) -> np.ndarray:
    """Share of the m right answers among the m best classes of the last read-out, [B]."""
    return recall_at(logits[:, -1], rows.target_set)


def absolute_error(logits: np.ndarray, rows: TaskBatch) -> np.ndarray:
    """Mean |predicted - right class| of every row's read-outs, [B]: for tasks whose class is a count."""
    scored = _scored(rows)
    return (np.abs(logits.argmax(-1) - rows.targets) * scored).sum(1) / scored.sum(1)


def _scored(rows: TaskBatch) -> np.ndarray:
    """Which read-outs count, [B, Q] bool; a row without any is an error, not a zero."""
    scored = rows.targets != IGNORE
    if not scored.any(1).all():
        raise ValueError("a row has no read-out to score: every target is -100")
    return scored


def _of_sequences(score: Callable[[list[int], list[int]], float]) -> Callable[..., np.ndarray]:
    """A metric of the read-outs of a row taken as one output."""

    def rows_score(logits: np.ndarray, rows: TaskBatch) -> np.ndarray:
        found, scored = logits.argmax(-1), _scored(rows)
        pairs = zip(found, rows.targets, scored, strict=True)
        return np.array([score(f[mask].tolist(), wanted[mask].tolist()) for f, wanted, mask in pairs])

    return rows_score


#: Name -> logits [B, Q, C] and rows -> scores [B]. A task names its own in `Task.metrics`.
METRICS: dict[str, Callable[..., np.ndarray]] = {
    "accuracy": accuracy,
    "recall": recall,
    "absolute_error": absolute_error,
    **{name: _of_sequences(score) for name, score in SEQUENCE_METRICS.items()},
}


def mean_interval(scores: np.ndarray, confidence: float = 0.95) -> Interval:
    """Interval of the mean of independent rows: Wilson's for right and wrong, else a percentile bootstrap.

    The rows are resampled, not the read-outs: those of one row share its text. Always the same resamples.

    Raises
    ------
    ValueError
        If there are no scores.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"expected the scores of at least one row, got shape {scores.shape}")
    if np.isin(scores, (0.0, 1.0)).all():
        return wilson_interval(int(scores.sum()), scores.size, confidence)
    if np.ptp(scores) == 0:
        return Interval(float(scores[0]), float(scores[0]))
    result = stats.bootstrap(
        (scores,),
        np.mean,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))


def above_guess(score: float, guess: float) -> float:
    """(score - guess) / (1 - guess), not below 0; nan where the shortcut already solves the task.

    Keeps the level of a trivial strategy from looking like skill in an average over tasks.
    """
    if guess >= 1:
        return float("nan")
    return max(0.0, (score - guess) / (1 - guess))
