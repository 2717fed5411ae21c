"""Allocated bits against uniform bits at equal bytes: one line for each byte point, cell by cell and pooled.

A point is a uniform width; its two uniform models (round to nearest, and AWQ) take the same bytes but for
nothing, and the allocated model takes no more. The allocation is compared with the better of the two, chosen
after the scores are known: that favours the uniform side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from synapnet_edge.artifacts import read_table
from synapnet_edge.evaluation.paired import compare, holm, read_rows

ALL = "all tasks"
TRAINED = "_qat"
COLUMNS = [
    "model", "task", "length", "point", "training", "bits", "bytes_uniform", "bytes_cajq", "uniform",
    "score_uniform", "score_cajq", "score_fp16", "seeds", "n", "difference", "ci_low", "ci_high", "p_value",
    "p_holm",
]  # fmt: skip


def equal_bytes_table(
    rows: Sequence[str | Path],
    benchmark: Sequence[str | Path],
    ledgers: dict[tuple[str, int], str | Path],
    resamples: int,
) -> pd.DataFrame:
    """Compare every ``cajq_<point>`` with the uniform models of the same point.

    Parameters
    ----------
    rows, benchmark : sequence of paths
        Tables of single rows and of cells of one model's suite, all variants and seeds.
    ledgers : dict
        (variant, seed) -> byte ledger.
    resamples : int
        Bootstrap draws, see `paired.compare`.

    Returns
    -------
    DataFrame with the columns `COLUMNS`
        bits = 8 x mean bytes of the uniform model / parameters. p_holm corrects over the pooled lines only:
        they are the question; single cells keep p_holm empty.

    Raises
    ------
    ValueError
        If no point has both sides, or an allocated file takes more bytes than its uniform one.
    """
    reported = pd.concat([read_table(path)[["task", "metric"]] for path in benchmark]).drop_duplicates()
    scores = pd.concat(
        [read_rows(path).merge(reported, on=["task", "metric"]) for path in rows], ignore_index=True
    )
    sizes = _sizes(ledgers)
    variants = set(scores["variant"])
    points = [name.removeprefix("cajq_") for name in sorted(variants) if _has_uniform(name, variants)]
    if not points:
        raise ValueError(
            f"equal bytes: found variants {sorted(variants)}, expected cajq_<point> and uniform_<point>"
        )
    lines = [line for point in points for line in _point(point, scores, sizes, resamples)]
    table = pd.DataFrame(lines, columns=COLUMNS)
    pooled = table["task"] == ALL
    table.loc[pooled, "p_holm"] = holm(table.loc[pooled, "p_value"].to_numpy(dtype=float))
    return table.sort_values(["training", "task", "length", "bits"], ignore_index=True)


def _has_uniform(name: str, variants: set[str]) -> bool:
    return name.startswith("cajq_") and f"uniform_{name.removeprefix('cajq_')}" in variants


def _sizes(ledgers: dict[tuple[str, int], str | Path]) -> pd.DataFrame:
    """bytes and parameters of every variant, mean over seeds."""
    found = []
    for (variant, seed), path in ledgers.items():
        ledger = read_table(path)
        found.append((variant, seed, int(ledger["bytes"].sum()), int(ledger["parameters"].sum())))
    table = pd.DataFrame(found, columns=["variant", "seed", "bytes", "parameters"])
    return table.groupby("variant")[["bytes", "parameters"]].mean()


def _point(point: str, scores: pd.DataFrame, sizes: pd.DataFrame, resamples: int) -> Iterator[dict]:
    cajq = f"cajq_{point}"
    rivals = [name for name in (f"uniform_{point}", f"rtn_{point}") if name in set(scores["variant"])]
    for rival in rivals:
        if sizes.loc[cajq, "bytes"] > sizes.loc[rival, "bytes"]:
            raise ValueError(
                f"{cajq}: found {sizes.loc[cajq, 'bytes']} bytes, expected at most those of {rival}"
            )
    mine = scores[scores["variant"].isin([cajq, *rivals, "fp16"])]
    pooled = mine.assign(
        row=mine.groupby(["variant", "seed"]).cumcount(), task=ALL, length=0, metric="score", suite="pooled"
    )
    for table in (mine, pooled):
        levels = table.groupby(["task", "length", "variant"])["score"].mean()
        lines = compare(table[table["variant"] != "fp16"], against=rivals, resamples=resamples)
        lines = lines[(lines["variant_a"] == cajq) & lines["variant_b"].isin(rivals)]
        for (task, length), cell in lines.groupby(["task", "length"], sort=False):
            best = max(cell["variant_b"], key=lambda name: (levels[task, length, name], name))  # noqa: B023
            line = cell[cell["variant_b"] == best].iloc[0]
            parameters = sizes.loc[best, "parameters"]
            yield {
                **{key: line[key] for key in ("model", "task", "length", "seeds", "n", "difference")},
                **{key: line[key] for key in ("ci_low", "ci_high", "p_value")},
                "point": point.removesuffix(TRAINED),
                "training": "qat" if point.endswith(TRAINED) else "none",
                "bits": 8 * sizes.loc[best, "bytes"] / parameters,
                "bytes_uniform": sizes.loc[best, "bytes"],
                "bytes_cajq": sizes.loc[cajq, "bytes"],
                "uniform": best,
                "score_uniform": levels[task, length, best],
                "score_cajq": levels[task, length, cajq],
                "score_fp16": levels.get((task, length, "fp16"), float("nan")),
            }
