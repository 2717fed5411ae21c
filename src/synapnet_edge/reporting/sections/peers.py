"""Other packages' weight-only quantisers on the same linear layers."""

from __future__ import annotations

from synapnet_edge.reporting import text
from synapnet_edge.reporting.section import Run, section

COLUMNS = "arm package version status linears bits bytes task length n score model seed"


@section(
    "peers",
    "quantisation",
    40,
    {"peers": COLUMNS},
    target="peers_all",
    tables=lambda run: {"peers": run.tables["peers"]},
)
def write(run: Run) -> str:
    table = run.tables["peers"]
    scored = table.dropna(subset=["score"])
    grouped = scored.groupby(["model", "arm", "package", "task", "length"], sort=False)
    rows = [
        (*map(str, key[:4]), str(key[4]), f"{part['bits'].mean():.2f}", text.count(part["bytes"].mean()))
        + (text.share(part["score"].mean()), str(int(part["n"].sum())))
        for key, part in grouped
    ]
    head = ("model", "arm", "package", "task", "length", "bits", "bytes of the linears", "score", "n")
    absent = table[table["status"] != "ok"].drop_duplicates(["arm", "status"])
    missing = [f"{row.arm} ({row.package}): {row.status}" for row in absent.itertuples(index=False)]
    return (
        "## Other packages on the same linear layers\n\n"
        "Only linear layers are quantised, on both sides, without training; the same rows, in float32.\n\n"
        + text.table(head, rows)
        + "\n\nNot measured:\n\n"
        + text.bullets(missing, "none; every package was installed")
    )
