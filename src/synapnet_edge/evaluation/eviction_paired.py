"""BAEE against every other policy on the same rows: difference, interval and corrected p value per cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from synapnet_edge.artifacts import ArtifactError, read_table
from synapnet_edge.evaluation.paired import compare

#: The policy all others are compared with.
SUBJECT = "baee"
CELL = ["task", "position", "length", "budget", "query_aware"]
COLUMNS = [
    *CELL, "policy", "against", "seeds", "n", "difference", "ci_low", "ci_high", "p_value", "p_holm", "test",
]  # fmt: skip


def paired_policies(files: Sequence[str | Path], *, resamples: int) -> pd.DataFrame:
    """Every other policy minus `SUBJECT`, in every cell both answered.

    Parameters
    ----------
    files : sequence of paths
        Row tables of `eviction.run_policy`, of all policies and trained seeds.
    resamples : int
        See `paired.compare`.

    Returns
    -------
    DataFrame with the columns `COLUMNS`
        policy, against, difference: accuracy of `policy` minus that of `against`; the rest as in
        `paired.compare`, with Holm's correction over all lines.

    Raises
    ------
    ArtifactError
        If a column is missing.
    """
    tables = [read_table(path) for path in files]
    for path, table in zip(files, tables, strict=True):
        missing = [name for name in (*CELL, "policy", "seed", "row", "correct") if name not in table]
        if missing:
            raise ArtifactError(f"{path}: found columns {list(table)}, missing {missing}")
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if rows.empty or SUBJECT not in set(rows["policy"]):
        return pd.DataFrame(columns=COLUMNS)
    # A trained seed answers rows of its own seed: a row of one is not that of another, and the pairs are
    # within a seed. `compare` resamples rows over seeds, so every seed's rows are counted by their place.
    named = rows.assign(
        suite=rows["position"],
        model=rows["budget"].map("{:g}".format) + rows["query_aware"].map({True: " aware", False: ""}),
        metric="accuracy",
        variant=rows["policy"],
        depth=0.0,
        score=rows["correct"].astype(float),
    )
    found = compare(named, against=[SUBJECT], resamples=resamples)
    budget = found["model"].str.split(" ", n=1)
    found = found.assign(
        position=found["suite"],
        budget=budget.str[0].astype(float),
        query_aware=budget.str.len() > 1,
        policy=found["variant_a"],
        against=found["variant_b"],
    )
    return found[COLUMNS]
