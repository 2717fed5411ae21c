"""NIAH-single of the reference protocol beside the published numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.reporting import text
from synapnet_edge.reporting.forerunner import CAVEAT, SOURCE
from synapnet_edge.reporting.section import BENCHMARK, Run, section

if TYPE_CHECKING:
    import pandas as pd


@section(
    "headline",
    "overview",
    10,
    {"benchmark": BENCHMARK},
    tables=lambda run: {"headline": run.headline},
)
def write(run: Run) -> str:
    return _headline_text(run.headline)


def _headline_text(head: pd.DataFrame) -> str:
    rows = [
        (
            row.model,
            row.variant,
            str(row.length),
            text.mean_std(row.mean, row.std),
            f"{row.seeds} × {row.n}",
            text.interval(row.ci_low, row.ci_high),
            text.share(row.chance),
            text.share(row.guess),
            text.mean_std(row.published, row.published_std),
        )
        for row in head.itertuples(index=False)
    ]
    columns = ("model", "variant", "length", "accuracy", "seeds × n", "pooled 95 %")
    return (
        "## Headline: NIAH-single, reference protocol\n\n"
        "Mean ± standard deviation over independently trained seeds; n per seed; Wilson interval pooled over "
        "seeds; `guess` is the best shortcut that does not do the task (1: a shortcut solves it).\n\n"
        + text.table((*columns, "chance", "guess", "forerunner"), rows)
        + f"\nForerunner: {SOURCE}, {CAVEAT}. Copied from its publication, not measured here.\n"
    )
