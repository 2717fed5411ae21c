"""The classifier behind BAEE, with its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.reporting import policy_goals, text
from synapnet_edge.reporting.section import Run, section

if TYPE_CHECKING:
    import pandas as pd


@section(
    "retention",
    "memory",
    20,
    {
        "retention": "seed epoch validation_auc task_auc shuffled_auc best_feature best_feature_auc "
        "best_feature_task_auc parameters validation_examples"
    },
    goals=lambda run: policy_goals.classifier_goals(run.tables["retention"]),
)
def write(run: Run) -> str:
    return _retention_text(run.tables["retention"])


def _retention_text(table: pd.DataFrame) -> str:
    """How well the classifier behind BAEE orders entries by their future reads, one row per trained seed."""
    rows = []
    for seed, part in table.groupby("seed"):
        last = part.sort_values("epoch").iloc[-1]
        rows.append(
            (
                str(seed),
                text.count(last["parameters"]),
                text.count(last["validation_examples"]),
                text.share(last["validation_auc"]),
                text.share(last["task_auc"]),
                text.share(last["shuffled_auc"]),
                f"{text.share(last['best_feature_auc'])} / {text.share(last['best_feature_task_auc'])} "
                f"({last['best_feature']})",
            )
        )
    head = (
        "seed",
        "parameters",
        "validation entries",
        "AUC, unseen documents",
        "AUC, unseen tasks",
        "AUC, shuffled labels",
        "best single feature, documents / tasks",
    )
    return (
        "## Retention classifier\n\n"
        "Predicts which entries later questions will read, from what is known when the decision is made. "
        "Validation documents are not training documents, and unseen tasks are a family no training document "
        "has. AUC: an entry is in the top fifth of its decision "
        "by the largest share of a later question's read; mean over decisions.\n\n"
        + (text.table(head, rows) if rows else "Not measured in this run.\n")
    )
