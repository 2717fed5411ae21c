"""Bootstrap of a mean over trained seeds and rows, when every seed answered the same rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCK = 2_000_000  # counts drawn at once: bounds the memory at any number of rows


def resampled_means(
    differences: Sequence[np.ndarray], resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Means of resampled seeds x resampled rows, [len(differences), resamples].

    Parameters
    ----------
    differences : sequence of arrays [S, R]
        One table each: S trained seeds (may differ), the same R rows. All tables see the same drawn rows.
    resamples : int
        Draws. Each takes R - 1 of the R rows and, of several seeds, S - 1, with replacement: one less than
        there are, or the spread of so few seeds would be underestimated by (S - 1) / S (Rao and Wu 1988).

    Raises
    ------
    ValueError
        If a table is not [S, R] with the common R, or R < 2.

    Notes
    -----
    Seeds and rows are drawn independently of each other, because one hard row is hard for all seeds (Owen
    2007, "The pigeonhole bootstrap"). That is wide when only single answers vary. No bootstrap can go beyond
    the seeds it has: with two or three that agree in sign, zero is hardly ever reached.
    """
    rows = np.shape(differences[0])[-1]
    shapes = [np.shape(table) for table in differences]
    if rows < 2 or any(len(shape) != 2 or shape[1] != rows for shape in shapes):
        raise ValueError(f"expected tables of seeds x rows with at least 2 common rows, got shapes {shapes}")
    stacked = np.concatenate(differences)
    by_seed = np.empty((len(stacked), resamples))
    block = max(1, BLOCK // rows)
    for start in range(0, resamples, block):
        weights = _weights(rng, min(block, resamples - start), rows)
        by_seed[:, start : start + len(weights)] = stacked @ weights.T
    ends = np.cumsum([seeds for seeds, _ in shapes])[:-1]
    return np.stack([_over_seeds(part, rng) for part in np.split(by_seed, ends)])


def _over_seeds(means: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of resampled seeds from the means [S, B] of each of them, [B]."""
    seeds, resamples = means.shape
    return means[0] if seeds == 1 else np.einsum("sb,bs->b", means, _weights(rng, resamples, seeds))


def _weights(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Share of each of `size` units in `count` draws of size - 1 units, [count, size]."""
    drawn = rng.integers(0, size, (count, size - 1)) + size * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size) / (size - 1)
