"""Allocated against uniform bits at equal bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.reporting import text
from synapnet_edge.reporting.section import Run, section

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model task length point training bits bytes_uniform bytes_cajq uniform score_uniform score_cajq "
    "score_fp16 seeds n difference ci_low ci_high p_value p_holm"
)
POOLED = "all tasks"
SIGNIFICANT = 0.05
LOW_BITS = 3.5  # up to here the allocation is meant to pay


def _pooled(run: Run) -> pd.DataFrame:
    table = run.tables["equal_bytes"]
    return table[table["task"] == POOLED].sort_values(["training", "bits"])


def _negative(run: Run) -> list[str]:
    """Where the uniform model of the same bytes is better, and where nothing is shown."""
    sentences = []
    for row in _pooled(run).itertuples(index=False):
        where = f"At {row.bits:.2f} bits per parameter ({_training(row.training)})"
        numbers = (
            f"{text.points(row.difference)} ({text.interval(row.ci_low, row.ci_high)}, p = {row.p_holm:.2g})"
        )
        if row.difference < 0:
            sentences.append(
                f"{where} the uniform model {row.uniform} is ahead of allocated bits: {numbers}."
            )
        elif row.bits <= LOW_BITS and row.p_holm >= SIGNIFICANT:
            sentences.append(f"{where} no gain of allocated bits is shown: {numbers}.")
    return sentences


@section(
    "equal_bytes",
    "quantisation",
    30,
    {"equal_bytes": COLUMNS},
    target="quantization_all",
    negative=_negative,
    tables=lambda run: {"equal_bytes": run.tables["equal_bytes"]},
)
def write(run: Run) -> str:
    pooled = _pooled(run)
    rows = [
        (
            row.model,
            _training(row.training),
            f"{row.bits:.2f}",
            text.count(row.bytes_cajq),
            text.count(row.bytes_uniform),
            row.uniform,
            text.share(row.score_cajq),
            text.share(row.score_uniform),
            f"{text.points(row.difference)} {text.interval(row.ci_low, row.ci_high)}",
            f"{row.p_holm:.2g}",
            str(int(row.n)),
        )
        for row in pooled.itertuples(index=False)
    ]
    head = (
        *("model", "training", "bits", "bytes CAJQ", "bytes uniform", "best uniform", "CAJQ", "uniform"),
        *("difference", "p (Holm)", "n"),
    )
    won = ((pooled["difference"] > 0) & (pooled["p_holm"] < SIGNIFICANT)).sum()
    lost = ((pooled["difference"] < 0) & (pooled["p_holm"] < SIGNIFICANT)).sum()
    return (
        "## Allocated against uniform bits at equal bytes\n\n"
        "All tasks of the suite together, the same rows for both sides; at every byte point the allocated "
        "file takes no more bytes than the uniform one, and uniform is the better of AWQ and RTN. "
        f"Of {len(pooled)} points CAJQ is significantly ahead at {won} and uniform at {lost}.\n\n"
        + text.table(head, rows)
    )


def _training(kind: str) -> str:
    return "trained" if kind == "qat" else "no training"
