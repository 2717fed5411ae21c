"""Baselines beside the reference model as tidy tables: accuracy, bytes, speed, and who is ahead of whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.reporting import aggregate
from synapnet_edge.reporting.effective_length import MEAN, effective_lengths, suite_means

if TYPE_CHECKING:
    import pandas as pd

Tables = Mapping[str, "pd.DataFrame"]
LONG = 2048  # tokens from which on no baseline should be ahead in accuracy and bytes
FAR = 65536  # tokens at which the carried bytes are compared
POINT_COLUMNS = [
    "model", "variant", "length", "mean", "ci_low", "ci_high", "seeds", "n_total", "weights", "state",
    "total", "speed", "ours",
]  # fmt: skip
_CELL = ["suite", "task", "model", "variant", "backend", "length"]


def cells(tables: Tables) -> pd.DataFrame:
    """Cells of all models, see `aggregate.scores`; with `ours` True for the reference model."""
    import pandas as pd

    parts = {True: tables.get("baseline_ours"), False: tables.get("baseline_benchmark")}
    found = [aggregate.scores(part).assign(ours=ours) for ours, part in parts.items() if _filled(part)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*_CELL, "mean", "ours"])


def means(scored: pd.DataFrame) -> pd.DataFrame:
    """Mean over the tasks of the suite at every length where all of a model's tasks were measured.

    A task that is not measured at every length would change the mean from length to length; it is left out.
    """
    import pandas as pd

    if scored.empty:
        return pd.DataFrame(columns=[*scored.columns])
    most = scored.groupby("task")["length"].nunique()
    scored = scored[scored["task"].isin(most[most == most.max()].index)]
    found = suite_means(scored.drop(columns="ours"))
    alone = scored if scored["task"].nunique() == 1 else scored.iloc[:0]
    found = pd.concat([found, alone.drop(columns="ours")], ignore_index=True)
    ours = scored.drop_duplicates("model").set_index("model")["ours"]
    return found.assign(ours=found["model"].map(ours).astype(bool))


def weight_bytes(tables: Tables) -> pd.Series:
    """(model, variant) -> stored bytes of the weights, mean over seeds."""
    import pandas as pd

    parts = [part for kind in LEDGERS if _filled(part := _ledger(tables, kind))]
    if not parts:
        return pd.Series(dtype=float)
    return pd.concat(parts).groupby(["model", "variant", "seed"])["bytes"].sum().groupby(level=[0, 1]).mean()


LEDGERS = ("baseline_our_ledger", "baseline_ledger")


def _ledger(tables: Tables, kind: str) -> pd.DataFrame | None:
    table = tables.get(kind)
    return None if table is None else table.rename(columns={"contender": "model"})


def state_bytes(cost: pd.DataFrame) -> pd.DataFrame:
    """Carried bytes: one row per model, one column per context [tokens]."""
    found = cost[cost["metric"] == "state_bytes"].drop_duplicates(["model", "context"])
    return found.pivot(index="model", columns="context", values="value")


def speeds(cost: pd.DataFrame, metric: str = "decode") -> pd.DataFrame:
    """Tokens per second (median): one row per model, one column per context, of the first tier."""
    found = cost[cost["metric"] == f"{metric}_tokens_per_second"]
    found = found[found["tier"] == found["tier"].min()] if len(found) else found
    return found.pivot(index="model", columns="context", values="value")


def points(tables: Tables) -> pd.DataFrame:
    """`POINT_COLUMNS`: accuracy (mean of tasks), bytes and decode speed of every model, variant and length.

    State and speed between two measured contexts are interpolated: keys and values grow linearly.
    """
    import numpy as np
    import pandas as pd

    cost = tables.get("baseline_cost")
    accuracy, weights = means(cells(tables)), weight_bytes(tables)
    if accuracy.empty or not _filled(cost):
        return pd.DataFrame(columns=POINT_COLUMNS)
    states, fast, rows = state_bytes(cost), speeds(cost), []

    def at(table: pd.DataFrame, model: str, length: int) -> float:
        if model not in table.index:
            return float("nan")
        row = table.loc[model].dropna()
        return float(np.interp(length, row.index.astype(float), row)) if len(row) else float("nan")

    for row in accuracy.itertuples():
        stored, carried = weights.get((row.model, row.variant), np.nan), at(states, row.model, row.length)
        facts = {key: getattr(row, key) for key in POINT_COLUMNS[:8]}
        bytes_of = {"weights": stored, "state": carried, "total": stored + carried}
        rows.append({**facts, **bytes_of, "speed": at(fast, row.model, row.length), "ours": row.ours})
    return pd.DataFrame(rows, columns=POINT_COLUMNS)


def ahead(found: pd.DataFrame, cost: str = "total", less: bool = True) -> pd.DataFrame:
    """Pairs in which a baseline is at least as good in both and better in one than one of our variants.

    Parameters
    ----------
    found : `points`.
    cost : column that is compared beside the accuracy; `less`: whether less of it is better.

    Returns
    -------
    One row per pair: length, model, variant, our variant, both accuracies and costs; `apart`: whether the
    95 % intervals of the accuracies do not overlap.
    """
    import pandas as pd

    rows = []
    for length, part in found.dropna(subset=["mean", cost]).groupby("length"):
        ours = part[part["ours"]]
        for mine in ours.itertuples():
            for theirs in part[~part["ours"]].itertuples():
                costs = getattr(theirs, cost), getattr(mine, cost)
                gain = costs[1] - costs[0] if less else costs[0] - costs[1]
                if theirs.mean >= mine.mean and gain >= 0 and (theirs.mean > mine.mean or gain > 0):
                    rows.append(
                        {"length": length, "model": theirs.model, "variant": theirs.variant}
                        | {"our_variant": mine.variant, "accuracy": theirs.mean, "our_accuracy": mine.mean}
                        | {"cost": costs[0], "our_cost": costs[1], "apart": theirs.ci_low > mine.ci_high}
                    )
    columns = ["length", "model", "variant", "our_variant", "accuracy", "our_accuracy", "cost", "our_cost"]
    return pd.DataFrame(rows, columns=[*columns, "apart"])


def better_cells(scored: pd.DataFrame) -> pd.DataFrame:
    """Cells where a baseline's best variant beats the best of ours: one row per cell and baseline."""
    import pandas as pd

    rows = []
    for (task, length), part in scored.groupby(["task", "length"], sort=False):
        mine = part[part["ours"]]
        if mine.empty:
            continue
        best = mine.loc[mine["mean"].idxmax()]
        for model, theirs in part[~part["ours"]].groupby("model"):
            top = theirs.loc[theirs["mean"].idxmax()]
            facts = {"task": task, "length": length, "model": model, "variant": top["variant"]}
            rows.append(
                {**facts, "gap": top["mean"] - best["mean"], "apart": bool(top["ci_low"] > best["ci_high"])}
            )
    return pd.DataFrame(rows, columns=["task", "length", "model", "variant", "gap", "apart"])


def effective(scored: pd.DataFrame) -> pd.DataFrame:
    """Effective length of the mean of tasks, one row per model and variant."""
    found = effective_lengths(scored.drop(columns="ours")) if len(scored) else scored.assign(effective=0)
    return found[found["task"] == MEAN]


def facts_of(manifests: Any) -> pd.DataFrame:
    """Parameters, learning rate and training cost of every trained baseline, from the manifests."""
    import pandas as pd

    rows = [
        {
            "model": manifest["model"],
            "parameters": sum(manifest["component_parameters"].values()),
            "learning_rate": manifest.get("learning_rate", float("nan")),
            "core_minutes": manifest.get("cpu_seconds", float("nan")) / 60,
            "tokens_per_second": manifest.get("tokens_per_second", float("nan")),
        }
        for manifest in manifests
        if manifest.get("stage") == "baseline_train"
    ]
    columns = ["model", "parameters", "learning_rate", "core_minutes", "tokens_per_second"]
    table = pd.DataFrame(rows, columns=columns)
    return table.groupby("model", sort=False).mean().assign(seeds=table.groupby("model").size()).reset_index()


def _filled(table: pd.DataFrame | None) -> bool:
    return table is not None and len(table) > 0
