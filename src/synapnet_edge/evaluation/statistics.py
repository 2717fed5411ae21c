"""Intervals and paired tests for accuracies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    low: float
    high: float


class McNemarResult(NamedTuple):
    """Rows only the first or only the second is right on, and the two-sided exact p value."""

    only_first: int
    only_second: int
    p_value: float


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927).

    Raises
    ------
    ValueError
        If not 0 <= successes <= n or n < 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, got {successes} of {n}")
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(confidence, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1) over seeds; the deviation of one value is nan."""
    array = _as_array(values)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else math.nan


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student t interval of the mean over independently trained seeds; nan for a single seed."""
    array = _as_array(values)
    if array.size < 2:
        return Interval(math.nan, math.nan)
    mean, deviation = mean_std(values)
    half = stats.t.ppf((1 + confidence) / 2, array.size - 1) * deviation / math.sqrt(array.size)
    return Interval(mean - half, mean + half)


def mcnemar_exact(first: np.ndarray, second: np.ndarray) -> McNemarResult:
    """Exact McNemar test of two systems on the same rows (bool arrays of equal shape).

    Only rows on which they differ carry information; under no difference each is a fair coin.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"expected results on the same rows, got shapes {first.shape} and {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differing = only_first + only_second
    p_value = stats.binomtest(only_first, differing).pvalue if differing else 1.0
    return McNemarResult(only_first, only_second, float(p_value))


def _as_array(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected a non-empty list of numbers, got shape {array.shape}")
    return array
