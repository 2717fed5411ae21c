"""Stored bytes and bits of every variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.reporting import text
from synapnet_edge.reporting.section import Run, section

if TYPE_CHECKING:
    import pandas as pd


@section(
    "sizes",
    "quantisation",
    10,
    {"ledger": "component tensor parameters bits bytes model seed variant"},
    tables=lambda run: {"sizes": run.sizes},
)
def write(run: Run) -> str:
    return _sizes_text(run.sizes)


def _sizes_text(table: pd.DataFrame) -> str:
    rows = [
        (
            row.model,
            row.variant,
            text.count(row.bytes),
            f"{row.bytes / text.MEGABYTE:.2f}",
            f"{row.mean_bits:.2f}",
            "–" if row.compression != row.compression else f"{row.compression:.2f}x",
        )
        for row in table.itertuples(index=False)
    ]
    head = ("model", "variant", "bytes", "MB", "mean bits per parameter", "compression against fp16")
    return "## Stored size\n\nSums of the packed ledger, scales included.\n\n" + text.table(head, rows)
