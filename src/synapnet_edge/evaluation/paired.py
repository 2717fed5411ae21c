"""Variants compared with each other on the same rows: difference, interval, p value and Holm's correction."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from synapnet_edge.artifacts import ArtifactError, read_table
from synapnet_edge.evaluation.resampling import resampled_means
from synapnet_edge.evaluation.statistics import mcnemar_exact

CELL = ["suite", "model", "task", "length", "metric"]
ROWS = [*CELL, "variant", "seed", "row", "depth", "score"]  # what is read of a rows table
COLUMNS = [
    *CELL, "variant_a", "variant_b", "seeds", "n", "difference", "ci_low", "ci_high", "p_value", "p_holm",
    "test",
]  # fmt: skip
MCNEMAR, BOOTSTRAP = "mcnemar_exact", "paired_bootstrap"
CONFIDENCE = 0.95


class _Pair(NamedTuple):
    """Two variants with their scores [seeds, rows] by the seeds they share."""

    first: str
    second: str
    scores_first: np.ndarray
    scores_second: np.ndarray


def read_rows(path: str | Path) -> pd.DataFrame:
    """The scores of single rows that one benchmark job wrote (`runner.ROW_COLUMNS`).

    Raises
    ------
    ArtifactError
        If a column is missing, a score is not a number, or a row is scored twice by one metric.
    """
    table = read_table(path)
    missing = [column for column in ROWS if column not in table]
    if missing:
        raise ArtifactError(f"{path}: found columns {list(table)}, expected {ROWS}, missing {missing}")
    if not np.isfinite(table["score"]).all():
        bad = table.loc[~np.isfinite(table["score"])].iloc[0]
        raise ArtifactError(
            f"{path}: found score {bad['score']} in row {bad['row']} of {bad['task']}, expected a number"
        )
    return table[ROWS]


def paired_table(
    rows: Sequence[str | Path], benchmark: Sequence[str | Path], *, against: Sequence[str], resamples: int
) -> pd.DataFrame:
    """`compare` on the files of many jobs, by the metric that the benchmark tables report for each task.

    Parameters
    ----------
    rows, benchmark : sequence of paths
        The tables of single rows and of cells; none of either gives an empty table.
    against, resamples
        See `compare`.
    """
    if not rows:
        return compare(pd.DataFrame(columns=ROWS), against=against, resamples=resamples)
    reported = pd.concat([read_table(path)[["task", "metric"]] for path in benchmark]).drop_duplicates()
    tables = [read_rows(path).merge(reported, on=["task", "metric"]) for path in rows]
    return compare(pd.concat(tables, ignore_index=True), against=against, resamples=resamples)


def compare(rows: pd.DataFrame, *, against: Sequence[str], resamples: int = 10_000) -> pd.DataFrame:
    """Compare variants cell by cell on the rows that all of them answered.

    Parameters
    ----------
    rows : DataFrame
        Columns `ROWS`: score in [0, 1] of every row, variant and trained seed.
    against : sequence of str
        Every other variant is compared with each of these, as far as a cell has them; no pair twice.
    resamples : int
        Bootstrap draws, see `resampling.resampled_means`. The draws of a cell depend on its name only.

    Returns
    -------
    DataFrame with the columns `COLUMNS`
        n: pairs, trained seeds x rows. difference: mean score of variant_a minus that of variant_b. ci_low,
        ci_high: 95 % percentile interval over resampled seeds and rows: what other trainings and other rows
        may show. p_value, two-sided: exact McNemar test over all pairs if every score is 0 or 1, which is
        about these trained models on other rows and takes the pairs as independent; else 2 x the smaller
        tail of the resampled means. p_holm: Holm's correction over all lines of the table, so that one line
        below 0.05 among them is wrong in at most 5 % of studies without any difference.

    Raises
    ------
    ValueError
        If variants were scored on different rows, a row is scored twice, a score lies outside [0, 1], or two
        variants share no seed. The message names the cell.

    Notes
    -----
    The interval and McNemar's test answer different questions and may disagree: when seeds disagree, the test
    rejects what the interval leaves open. Simulated with 3 seeds x 200 rows and no difference on average, the
    interval misses 0 in 0 % of studies if answers vary singly, 1 % if some rows suit one variant, 5 % if some
    trainings do; McNemar's test rejects in 5 %, 12 % and 40 %. Where all differences are equal (most often:
    none) the bootstrap has nothing to vary, and the interval is the exact one of "never in R rows".
    """
    lines = [
        line for key, cell in rows.groupby(CELL, sort=False) for line in _cell(key, cell, against, resamples)
    ]
    table = pd.DataFrame(lines, columns=COLUMNS)
    table["p_holm"] = holm(table["p_value"].to_numpy(dtype=float))
    return table


def holm(p_values: np.ndarray) -> np.ndarray:
    """p values corrected for their number by Holm's step-down rule (1979), in the given order."""
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(p_values.size, 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0) if p_values.size else scaled
    return corrected


def _cell(key: tuple, cell: pd.DataFrame, against: Sequence[str], resamples: int) -> Iterator[dict]:
    """The comparisons of one task at one length."""
    name = " ".join(map(str, key))
    pairs = list(_pairs(name, _scores(name, cell), against))
    if not pairs:
        return
    differences = [pair.scores_first - pair.scores_second for pair in pairs]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    means = resampled_means(differences, resamples, rng)
    for pair, gap, drawn in zip(pairs, differences, means, strict=True):
        low, high = _interval(gap, drawn)
        binary = all(np.isin(scores, (0.0, 1.0)).all() for scores in pair[2:])
        p_value = mcnemar_exact(*(scores == 1 for scores in pair[2:])).p_value if binary else _p_value(drawn)
        yield dict(zip(CELL, key, strict=True)) | {
            "variant_a": pair.first,
            "variant_b": pair.second,
            "seeds": len(gap),
            "n": gap.size,
            "difference": gap.mean(),
            "ci_low": low,
            "ci_high": high,
            "p_value": p_value,
            "test": MCNEMAR if binary else BOOTSTRAP,
        }


def _scores(name: str, cell: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Variant -> scores, trained seeds x rows, once it is certain that all are about the same rows."""
    if cell.duplicated(["variant", "seed", "row"]).any():
        raise ValueError(f"{name}: found a row scored twice, expected one score per variant, seed and row")
    if not cell["score"].between(0, 1).all():
        raise ValueError(
            f"{name}: found scores {cell['score'].min()} to {cell['score'].max()}, expected 0 to 1"
        )
    table = cell.pivot(index=["variant", "seed"], columns="row", values="score")
    short = table.index[table.isna().any(axis=1)]
    # Rows of another seed of the benchmark have the same numbers but answers at other places.
    moved = cell.groupby("row")["depth"].nunique() > 1
    if len(short) or moved.any():
        who = f"{short[0][0]} of seed {short[0][1]}" if len(short) else f"row {moved.idxmax()}"
        raise ValueError(f"{name}: found other rows for {who}, expected the same for all variants and seeds")
    return {str(variant): table.loc[variant] for variant in cell["variant"].unique()}


def _pairs(name: str, scores: dict[str, pd.DataFrame], against: Sequence[str]) -> Iterator[_Pair]:
    done = set()
    for second in against:
        for first in scores:
            if second not in scores or first == second or (second, first) in done:
                continue
            done.add((first, second))
            shared = scores[first].index.intersection(scores[second].index)
            if shared.empty:
                raise ValueError(f"{name}: found no trained seed of both {first} and {second}, expected one")
            yield _Pair(
                first, second, *(scores[v].loc[shared].to_numpy(dtype=float) for v in (first, second))
            )


def _interval(gap: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean difference; `gap` [seeds, rows], `drawn`: resampled means."""
    if np.ptp(gap) > 0:
        low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return float(low), float(high)
    # Not once in R rows; the seeds share the rows and do not count again.
    unseen = float(stats.binomtest(0, gap.shape[1]).proportion_ci(CONFIDENCE, method="exact").high)
    return max(-1.0, float(gap.mean()) - unseen), min(1.0, float(gap.mean()) + unseen)


def _p_value(drawn: np.ndarray) -> float:
    """Two-sided, never 0: the tail of the resampled means beyond no difference."""
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return min(1.0, 2.0 * (1 + int(tail)) / (1 + drawn.size))
