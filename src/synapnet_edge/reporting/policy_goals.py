"""Goals of the bounded memory: what the tables of the grid, the classifier and the cost say about each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.policy_names import split_policy
from synapnet_edge.reporting import text
from synapnet_edge.reporting.findings import Goal

if TYPE_CHECKING:
    import pandas as pd

SUBJECT, BOUND = "baee", "oracle"
LEVEL = 0.05  # a corrected p value below it counts as a difference
BEST_SHARE, STRICT_SHARE = 0.90, 0.50
SIMPLE = ("random", "streaming_llm", "h2o", "knorm")
LEAST_BUDGETS = 3
AUC_DOCUMENTS, AUC_TASKS = 0.95, 0.90
ROUNDS_MS = {4096: 0.2, 16384: 0.6, 1048576: 40.0}
STREAM_SHARE, STREAM_MICROSECONDS = 3.0, 5.0


def grid_goals(evicted: pd.DataFrame) -> list[Goal]:
    """How often baee is best among policies, in interpretable query-agnostic cells.

    The bound is left out, and so is baee with other entry formats than its own.
    """
    names = (
        f"Eviction grid: baee best or within its interval of the best in {BEST_SHARE:.0%} of cells",
        f"Eviction grid: baee strictly best in {STRICT_SHARE:.0%} of cells",
    )
    cells = evicted[evicted["interpretable"].astype(bool) & ~evicted["query_aware"].astype(bool)]
    base = cells["policy"].map(lambda name: split_policy(name)[0])
    cells = cells[(base != BOUND) & ((base != SUBJECT) | (cells["policy"] == SUBJECT))]
    keys = ["task", "position", "length", "budget"]
    near = strict = total = 0
    for _, cell in cells.groupby(keys):
        mine = cell[cell["policy"] == SUBJECT]
        others = cell.loc[cell["policy"] != SUBJECT, "accuracy"]
        if mine.empty or others.empty:
            continue
        total += 1
        near += bool(mine["ci_high"].iloc[0] >= others.max())
        strict += bool(mine["accuracy"].iloc[0] > others.max())
    if not total:
        return [Goal(name, "no interpretable cell", None) for name in names]
    return [
        Goal(names[0], f"{near} of {total}", near >= BEST_SHARE * total),
        Goal(names[1], f"{strict} of {total}", strict >= STRICT_SHARE * total),
    ]


def paired_goals(paired: pd.DataFrame) -> list[Goal]:
    """Whether baee beats each simple policy at several budgets, on the same rows."""
    goals = []
    for name in SIMPLE:
        goal = f"baee above {name} at {LEAST_BUDGETS} or more budgets, paired p < {LEVEL} (Holm), in one cell"
        lines = paired[(paired["policy"] == name) & ~paired["query_aware"].astype(bool)]
        if lines.empty:
            goals.append(Goal(goal, "not compared", None))
            continue
        won = lines[(lines["difference"] < 0) & (lines["p_holm"] < LEVEL)]
        budgets = won.groupby(["task", "position", "length"])["budget"].nunique()
        most = int(budgets.max()) if len(budgets) else 0
        lost = int(((lines["difference"] > 0) & (lines["p_holm"] < LEVEL)).sum())
        measured = (
            f"at most {most} budgets; better in {len(won)}, worse in {lost} of {len(lines)} comparisons"
        )
        goals.append(Goal(goal, measured, most >= LEAST_BUDGETS))
    return goals


def classifier_goals(retention: pd.DataFrame) -> list[Goal]:
    """The classifier's AUC on unseen documents and unseen tasks, mean over trained seeds."""
    last = retention.sort_values("epoch").groupby("seed").tail(1)
    found = []
    for column, level, what in (
        ("validation_auc", AUC_DOCUMENTS, "documents"),
        ("task_auc", AUC_TASKS, "task family"),
    ):
        value = last[column].mean() if len(last) else float("nan")
        met = None if value != value else bool(value >= level)
        found.append(
            Goal(f"Retention classifier: AUC at least {level} on unseen {what}", text.share(value), met)
        )
    return found


def cost_goals(cost: pd.DataFrame) -> list[Goal]:
    """Time of baee's rounds and its share of a stream's time."""
    mine = cost[cost["policy"] == SUBJECT].dropna(subset=["value"])
    rounds = mine[mine["metric"] == "round"].set_index("entries")["value"]
    found = [
        Goal(
            f"One eviction round of {size:,} entries: at most {limit:g} ms",
            f"{rounds[size]:.2f} ms" if size in rounds.index else "not measured",
            bool(rounds[size] <= limit) if size in rounds.index else None,
        )
        for size, limit in ROUNDS_MS.items()
    ]
    for metric, limit, unit in (
        ("eviction_share", STREAM_SHARE, "% of a stream's time"),
        ("eviction_per_token", STREAM_MICROSECONDS, "µs a token"),
    ):
        value = mine.loc[mine["metric"] == metric, "value"]
        text_of = f"{value.iloc[0]:.1f}" if len(value) else "not measured"
        met = bool(value.iloc[0] <= limit) if len(value) else None
        found.append(Goal(f"Eviction: at most {limit:g} {unit}", text_of, met))
    return found
