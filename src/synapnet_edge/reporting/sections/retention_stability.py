"""Whether the classifier depends on luck: seeds, learning rates, wrong labels."""

from __future__ import annotations

from synapnet_edge.reporting import text
from synapnet_edge.reporting.section import Run, section


@section(
    "retention_stability",
    "memory",
    25,
    {"retention_stability": "seed fit_seed learning_rate label_noise validation_auc task_auc"},
    target="retention_stability_all",
)
def write(run: Run) -> str:
    table = run.tables["retention_stability"]
    rates = sorted(table["learning_rate"].unique())
    rows = []
    for noise, part in table.groupby("label_noise"):
        cells = []
        for rate in rates:
            found = part.loc[part["learning_rate"] == rate, "validation_auc"]
            cells.append(f"{text.share(found.mean())} [{text.share(found.min())}, {text.share(found.max())}]")
        rows.append((f"{100 * noise:g} %", *cells, text.share(part["task_auc"].mean())))
    head = ("wrong labels", *(f"rate {rate:g}" for rate in rates), "unseen tasks, mean")
    fits = table.groupby(["learning_rate", "label_noise"]).size()
    return (
        "## Stability of the classifier\n\n"
        "AUC on unseen documents: mean [lowest, highest] over "
        f"{int(fits.min()) if len(fits) else 0} fits (initialisation and order, for every trained seed's "
        "traces). Wrong labels: share of training labels that are another entry's.\n\n"
        + text.table(head, rows)
    )
