"""Every task of the suites that compare variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synapnet_edge.reporting import aggregate, text
from synapnet_edge.reporting.forerunner import published
from synapnet_edge.reporting.section import BENCHMARK, Run, section

if TYPE_CHECKING:
    import pandas as pd


@section(
    "benchmark",
    "benchmarks",
    10,
    {"benchmark": BENCHMARK},
    tables=lambda run: {"benchmark": run.tables["benchmark"]},
)
def write(run: Run) -> str:
    return _benchmark_text(run.cells)


def _benchmark_text(cells: pd.DataFrame) -> str:
    """One table per task: rows = length, columns = variants."""
    blocks = []
    for (task, model), part in cells.groupby(["task", "model"], sort=False):
        variants = sorted(part["variant"].unique(), key=aggregate.variant_rank)
        rows = [_task_row(at, task, variants) for _, at in part.groupby("length")]
        head = ("length", "chance", "guess", *variants, "forerunner fp16 / cajq_qat", "seeds × n")
        blocks.append(f"### {task} ({model})\n\n" + text.table(head, rows))
    body = "\n".join(blocks) or "Not measured in this run.\n"
    return (
        "## All benchmark tasks\n\nMean ± standard deviation over trained seeds; every row with its interval "
        f"stands in `tables/benchmark.csv`.\n\n{body}"
    )


def _task_row(at: pd.DataFrame, task: str, variants: Sequence[str]) -> tuple[str, ...]:
    by_variant = at.drop_duplicates("variant").set_index("variant")
    length = int(at["length"].iloc[0])
    values = [
        text.mean_std(by_variant.loc[v, "mean"], by_variant.loc[v, "std"]) if v in by_variant.index else "–"
        for v in variants
    ]
    theirs = [published(task, variant, length) for variant in ("fp16", "cajq_qat")]
    quoted = " / ".join(text.share(row.mean) if row else "–" for row in theirs) if any(theirs) else "–"
    counts = f"{at['seeds'].max()} × {at['n'].min()}"
    return (
        *(str(length), text.share(at["chance"].mean()), text.share(at["guess"].mean())),
        *values,
        *(quoted, counts),
    )
