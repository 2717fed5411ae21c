"""Timing: synchronised wall clock, interleaved repeats, median with a distribution-free interval."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from synapnet_edge.profiling.device import synchronise


@dataclass(frozen=True)
class Interval:
    """Median of a sample with an order-statistic interval.

    `coverage` is the exact probability that the interval holds the true median (independent repeats).
    """

    median: float
    low: float
    high: float
    coverage: float
    repeats: int


def median_interval(samples: Sequence[float], target: float = 0.95) -> Interval:
    """Median and the narrowest symmetric pair of order statistics that covers it with probability `target`.

    Few repeats cannot reach the target: the interval is then lowest..highest and `coverage` tells the
    probability it really has, 1 - 2^(1-n).

    Raises
    ------
    ValueError : `samples` is empty or has a value that is not finite.
    """
    values = sorted(float(v) for v in samples)
    n = len(values)
    if n == 0 or not all(math.isfinite(v) for v in values):
        raise ValueError(f"expected at least one finite sample, got {list(samples)!r}")
    middle = 0.5 * (values[(n - 1) // 2] + values[n // 2])
    rank, coverage = 0, _coverage(n, 0)
    while rank + 1 < n - 2 - rank and _coverage(n, rank + 1) >= target:
        rank += 1
        coverage = _coverage(n, rank)
    return Interval(middle, values[rank], values[n - 1 - rank], coverage, n)


def _coverage(n: int, rank: int) -> float:
    """P(x_(rank) <= median <= x_(n-1-rank)), ranks from 0: a binomial tail on both sides."""
    tail = sum(math.comb(n, i) for i in range(rank + 1)) / 2**n
    return max(0.0, 1.0 - 2.0 * tail)


def timed(work: Callable[[], object], device: str) -> tuple[object, float]:
    """Run `work` once; return its result and the wall seconds with device work included."""
    synchronise(device)
    start = time.perf_counter()
    result = work()
    synchronise(device)
    return result, time.perf_counter() - start


def rotated(arms: Sequence[str], turn: int) -> list[str]:
    """The arms in the order of one round: each starts one further than the round before."""
    shift = turn % len(arms) if arms else 0
    return [*arms[shift:], *arms[:shift]]


def interleave(
    arms: Sequence[str], repeats: int, measure: Callable[[str], dict[str, float]]
) -> dict[str, dict[str, list[float]]]:
    """Measure every arm once per round (A B C, then B C A, ...) so that drift hits all arms alike.

    The order rotates by one each round: no arm always follows the same neighbour's cache or heat.

    Returns
    -------
    arm -> metric -> one value per round.
    """
    if repeats < 1:
        raise ValueError(f"repeats: expected >= 1, got {repeats}")
    found: dict[str, dict[str, list[float]]] = {arm: {} for arm in arms}
    for turn in range(repeats):
        for arm in rotated(arms, turn):
            for metric, value in measure(arm).items():
                found[arm].setdefault(metric, []).append(value)
    return found
