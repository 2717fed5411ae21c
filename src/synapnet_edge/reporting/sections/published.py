"""The forerunner's other headline claims beside what this run measured for the same quantity."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from synapnet_edge.reporting import text
from synapnet_edge.reporting.forerunner import CLAIMS, SOURCE
from synapnet_edge.reporting.section import Run, section

if TYPE_CHECKING:
    import pandas as pd

TARGETED = ("ssm", "attention")  # components the forerunner's compression of "targeted parameters" counts
PRESSURE = "reference/memory_pressure_niah"  # the task of its retention


class Ours(NamedTuple):
    """What this run measured: value, spread or interval, and how much stands behind it."""

    value: str
    spread: str
    behind: str


NONE = Ours("–", "–", "not measured in this run")


@section("published", "overview", 15, tables=lambda run: {"published": comparison(run)})
def write(run: Run) -> str:
    table = comparison(run)
    rows = table.fillna("").astype(str).itertuples(index=False, name=None)
    head = ("quantity", "published", "this run", "spread or 95 % interval", "n", "what differs")
    return (
        "## Published claims beside this run\n\n"
        f"Published: {SOURCE}, copied from its publication, not measured here.\n\n" + text.table(head, rows)
    )


def comparison(run: Run) -> pd.DataFrame:
    """One row per claim: quantity, published, measured, spread, n, differs."""
    import pandas as pd

    measured = {
        "whole_model_compression": _whole(run.sizes),
        "targeted_compression": _targeted(run.tables["ledger"]),
        "retention_auc": _auc(run.tables["retention"]),
        "classifier_parameters": _parameters(run.tables["retention"]),
        "baee_early": _retained(run.evicted, "baee"),
        "fifo_early": _retained(run.evicted, "fifo"),
    }
    rows = [
        (claim.quantity, claim.published, *measured[name], claim.differs) for name, claim in CLAIMS.items()
    ]
    return pd.DataFrame(rows, columns=["quantity", "published", "measured", "spread", "n", "differs"])


def _whole(sizes: pd.DataFrame) -> Ours:
    row = sizes[(sizes["variant"] == "cajq_qat") & (sizes["model"] == "reference")].dropna(
        subset=["compression"]
    )
    if row.empty:
        return NONE
    return Ours(f"{row['compression'].iloc[0]:.2f}x", "exact", "stored bytes, scales included")


def _targeted(ledger: pd.DataFrame) -> Ours:
    mine = ledger[(ledger["model"] == "reference") & ledger["component"].isin(TARGETED)]
    stored = mine.groupby(["variant", "seed"])["bytes"].sum().groupby(level="variant").mean()
    if "fp16" not in stored or "cajq_qat" not in stored:
        return NONE
    megabytes = f"{stored['cajq_qat'] / text.MEGABYTE:.2f} MB of {stored['fp16'] / text.MEGABYTE:.2f} MB"
    return Ours(f"{stored['fp16'] / stored['cajq_qat']:.2f}x", "exact", megabytes)


def _auc(retention: pd.DataFrame) -> Ours:
    last = retention.sort_values("epoch").groupby("seed").tail(1)["validation_auc"].dropna()
    if last.empty:
        return NONE
    spread = f"± {last.std(ddof=1):.3f}" if len(last) > 1 else "–"
    return Ours(text.share(last.mean()), spread, f"{len(last)} trained seeds")


def _parameters(retention: pd.DataFrame) -> Ours:
    counts = retention["parameters"].dropna()
    return NONE if counts.empty else Ours(text.count(counts.max()), "exact", "one classifier")


def _retained(evicted: pd.DataFrame, policy: str) -> Ours:
    """Targets held at the smallest budget and the longest length, the needle early in the published task."""
    mine = evicted[(evicted["policy"] == policy) & (evicted["position"] == "early")]
    mine = mine[mine["task"] == PRESSURE]
    if mine.empty:
        return NONE
    mine = mine[mine["length"] == mine["length"].max()]
    row = mine.loc[mine["budget"].idxmin()]
    return Ours(
        f"{row['retention']:.0%} held, {row['accuracy']:.0%} answered",
        f"answered {text.interval(row['ci_low'], row['ci_high'])}",
        f"{int(row['n'])} rows, {int(row['seeds'])} seeds, budget {row['budget']:g}, "
        f"{int(row['length'])} tokens",
    )
