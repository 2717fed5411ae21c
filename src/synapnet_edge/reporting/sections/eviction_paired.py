"""Policies compared with BAEE on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.reporting import policy_goals, text
from synapnet_edge.reporting.section import Run, section

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "task position length budget query_aware policy against seeds n difference ci_low ci_high p_value "
    "p_holm test"
)


@section(
    "eviction_paired",
    "memory",
    15,
    {"eviction_paired": COLUMNS},
    goals=lambda run: policy_goals.paired_goals(run.tables["eviction_paired"]),
    tables=lambda run: {"eviction_paired": run.tables["eviction_paired"]},
)
def write(run: Run) -> str:
    table = run.tables["eviction_paired"]
    blocks = []
    for aware, part in table.groupby("query_aware"):
        rows = [_row(policy, cells) for policy, cells in part.groupby("policy")]
        head = ("policy", "cells", "above baee", "below baee", "lowest (points)", "highest (points)")
        title = "After the question was seen" if aware else "Without seeing the question"
        blocks.append(f"### {title}\n\n" + text.table(head, rows))
    return (
        "## Policies on the same rows\n\n"
        f"Every policy minus baee, cell by cell. Above, below: p < {policy_goals.LEVEL} after Holm's "
        f"correction over all {len(table)} comparisons, McNemar's exact test over the rows of all trained "
        "seeds. Then the lowest and the highest difference with the 95 % bootstrap interval. All "
        "comparisons: `eviction/paired.csv`.\n\n" + ("\n".join(blocks) or "Not measured in this run.\n")
    )


def _row(policy: str, cells: pd.DataFrame) -> tuple[str, ...]:
    found = cells[cells["p_holm"] < policy_goals.LEVEL]["difference"]
    ends = [cells.loc[cells["difference"].idxmin()], cells.loc[cells["difference"].idxmax()]]
    counts = (len(cells), int((found > 0).sum()), int((found < 0).sum()))
    return (str(policy), *map(str, counts), *(_cell(row) for row in ends))


def _cell(row: pd.Series) -> str:
    low, high = text.points(row["ci_low"]), text.points(row["ci_high"])
    return (
        f"{text.points(row['difference'])} [{low}, {high}], p = {row['p_holm']:.2g}, n = {int(row['n'])} "
        f"({row['task']}, {row['position']}, {int(row['length'])}, budget {row['budget']:g})"
    )
