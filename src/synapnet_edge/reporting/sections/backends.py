"""The packed runtimes' answers beside the reference's."""

from __future__ import annotations

from synapnet_edge.reporting import text
from synapnet_edge.reporting.section import Run, section

COLUMNS = (
    "backend model variant seed task length n score ci_low ci_high read_outs same_answer "
    "same_answer_rounded status"
)


@section(
    "backends",
    "deployment",
    60,
    {"backends": COLUMNS},
    target="backends_all",
    tables=lambda run: {"backends": run.tables["backends"]},
)
def write(run: Run) -> str:
    table = run.tables["backends"]
    scored = table[table["status"] == "ok"]
    rows = [
        (row.variant, row.backend, row.task, str(row.length), str(row.n), text.share(row.score))
        + (f"[{row.ci_low:.3f}, {row.ci_high:.3f}]",)
        + tuple("–" if x != x else f"{x:.4f}" for x in (row.same_answer, row.same_answer_rounded))
        for row in scored.itertuples(index=False)
    ]
    head = ("variant", "backend", "task", "length", "n", "score", "95 % interval")
    head += ("same answer as the reference", "with int8 activations")
    absent = table[table["status"] != "ok"].drop_duplicates(["backend", "status"])
    missing = [f"{row.backend}: {row.status}" for row in absent.itertuples(index=False)]
    return (
        "## Answers of the packed runtimes\n\nThe same rows through every backend, float32 where nothing is "
        "packed. Answers are compared one by one.\n\n" + text.table(head, rows)
        + ("\n\nNot measured:\n\n" + text.bullets(missing, "") if missing else "")
    )  # fmt: skip
