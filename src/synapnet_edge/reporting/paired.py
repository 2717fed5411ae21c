"""The section on variants compared on the same rows: how often they differ, and where most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.reporting import text

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05  # a corrected p value below it counts as a difference


def section(table: pd.DataFrame) -> str:
    """One table per suite and model, from results/paired.csv: rows = pairs of variants."""
    blocks = []
    for (suite, model), part in table.groupby(["suite", "model"], sort=False):
        pairs = part.groupby(["variant_a", "variant_b"], sort=False)
        head = ("comparison", "cells", "better", "worse", "lowest (points)", "highest (points)")
        rows = [_row(*pair, cells) for pair, cells in pairs]
        blocks.append(f"### {suite} ({model})\n\n" + text.table(head, rows))
    return (
        "## Variants on the same rows\n\n"
        f"Better, worse: cells (task and length) with a p value below {LEVEL} after Holm's correction over "
        f"all {len(table)} comparisons of this run; McNemar's exact test for right or wrong, else the paired "
        "bootstrap. Then the lowest and the highest difference with the 95 % interval over resampled seeds "
        "and rows. Tests are about these trained models on other rows, the interval about other trainings "
        "too, so it can contain 0 where the test finds a difference. All comparisons: `paired.csv`.\n\n"
        + ("\n".join(blocks) or "Not measured in this run.\n")
    )


def _row(first: str, second: str, cells: pd.DataFrame) -> tuple[str, ...]:
    found = cells[cells["p_holm"] < LEVEL]["difference"]
    ends = [cells.loc[cells["difference"].idxmin()], cells.loc[cells["difference"].idxmax()]]
    return (
        f"{first} − {second}",
        *(str(number) for number in (len(cells), (found > 0).sum(), (found < 0).sum())),
        *(_cell(row) for row in ends),
    )


def _cell(row: pd.Series) -> str:
    low, high = text.points(row["ci_low"]), text.points(row["ci_high"])
    return (
        f"{text.points(row['difference'])} [{low}, {high}], p = {row['p_holm']:.2g}, n = {int(row['n'])} "
        f"({row['task']} at {int(row['length'])})"
    )
