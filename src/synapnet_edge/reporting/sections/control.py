"""What quantisation-aware training is worth against controls of equal steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synapnet_edge.reporting import text
from synapnet_edge.reporting.section import BENCHMARK, Run, section

if TYPE_CHECKING:
    import pandas as pd


@section(
    "control",
    "quantisation",
    20,
    {"benchmark": BENCHMARK},
)
def write(run: Run) -> str:
    return _control_text(run.gaps)


def _control_text(gaps: Mapping[str, pd.DataFrame]) -> str:
    """Paired differences of cajq_qat against its controls: rows = task and control, columns = lengths."""
    lengths = sorted({int(length) for table in gaps.values() for length in table["length"]})
    rows = []
    for other, table in gaps.items():
        for (task, model), part in table.groupby(["task", "model"], sort=False):
            at = part.drop_duplicates("length").set_index("length")
            cells = [_difference(at.loc[length]) if length in at.index else "–" for length in lengths]
            rows.append((f"{task} ({model})", f"cajq_qat − {other}", *cells, str(part["seeds"].max())))
    head = ("task", "comparison", *(f"at {length}" for length in lengths), "seeds")
    return (
        "## Quantisation-aware training against controls\n\n"
        "fp16_ft is the float model trained for the same additional steps. Differences in percentage points, "
        "paired by trained seed, ± standard deviation over seeds.\n\n" + text.table(head, rows)
    )


def _difference(row: pd.Series) -> str:
    spread = "" if row["std"] != row["std"] else f" ± {100 * row['std']:.1f}"
    return text.points(row["difference"]) + spread
