"""Answers under a memory budget, by policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.reporting import policy_goals, text
from synapnet_edge.reporting.section import Run, section

if TYPE_CHECKING:
    import pandas as pd


@section(
    "eviction",
    "memory",
    10,
    {
        "eviction": "task policy budget position length seed query_aware n accuracy ci_low ci_high "
        "retention retention_same_layer accuracy_retained accuracy_evicted accuracy_full bytes precision"
    },
    goals=lambda run: policy_goals.grid_goals(run.evicted),
    tables=lambda run: {"eviction": run.evicted},
)
def write(run: Run) -> str:
    subject = run.config.get("eviction", {})
    named = "model" in subject and "variant" in subject
    return _eviction_text(run.evicted, f"Model {subject['model']}, {subject['variant']}. " if named else "")


def _eviction_text(table: pd.DataFrame, subject: str) -> str:
    """One table per task, position and length: rows = policies, columns = budgets."""
    keys = ["task", "position", "length", "query_aware"]
    blocks = [_eviction_block(key, part) for key, part in table.groupby(keys)]
    return (
        "## Memory under a budget\n\n"
        f"{subject}Budget: share of the bytes of the unbounded memory. Cells: accuracy with its 95 % "
        "interval pooled over seeds, then retention (share of targets held by any layer / by the layer that "
        "reads them when nothing is evicted). `oracle` knows the future: an upper bound. The floor is the "
        "accuracy of a random value from the context; a row is not interpretable when its accuracy without "
        "eviction is not above it (95 % interval).\n\n" + ("\n".join(blocks) or "Not measured in this run.\n")
    )


def _eviction_block(key: tuple, part: pd.DataFrame) -> str:
    task, position, length, query_aware = key
    budgets = sorted(part["budget"].unique())
    held = part.groupby("budget")["bytes"].max()
    rows = []
    for policy, mine in part.groupby("policy"):
        by_budget = mine.set_index("budget")
        cells = [_eviction_cell(by_budget.loc[b]) if b in by_budget.index else "–" for b in budgets]
        rows.append((policy, *cells, "" if mine["interpretable"].all() else "not interpretable"))
    head = ("policy", *(f"budget {b:g} ({text.count(held[b])} bytes)" for b in budgets), "note")
    title = f"### {task}, {position}, length {int(length)}{', query-aware' if query_aware else ''}\n\n"
    full, floor = text.share(part["accuracy_full"].mean()), text.share(part["floor"].mean())
    facts = (
        f"Without eviction {full}, floor {floor}, "
        f"{part['seeds'].max()} seeds, n = {part['n'].min()} per cell over all seeds.\n\n"
    )
    return title + facts + text.table(head, rows)


def _eviction_cell(row: pd.Series) -> str:
    spread, same = text.interval(row["ci_low"], row["ci_high"]), text.share(row["retention_same_layer"], 2)
    return f"{text.share(row['accuracy'])} {spread}, {text.share(row['retention'], 2)} / {same}"
