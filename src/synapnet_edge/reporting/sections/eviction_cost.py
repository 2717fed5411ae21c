"""What eviction costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapnet_edge.reporting import policy_goals, text
from synapnet_edge.reporting.section import Run, section

if TYPE_CHECKING:
    import pandas as pd

COST = "metric policy tiers entries value unit ci_low ci_high repeats method"
GROWTH = "policy budget_bytes tokens bytes resident_bytes rss_bytes entries"
_STREAM = {
    "eviction_per_token": "µs a token",
    "eviction_share": "% of the stream",
    "stream_against_fifo": "% against fifo",
}


@section(
    "eviction_cost",
    "memory",
    30,
    {"eviction_cost": COST, "eviction_growth": GROWTH},
    target="eviction_cost_all",
    goals=lambda run: policy_goals.cost_goals(run.tables["eviction_cost"]),
)
def write(run: Run) -> str:
    cost, growth = run.tables["eviction_cost"], run.tables["eviction_growth"]
    return (
        "## Cost of eviction\n\n"
        "A round: 32 entries arrive in a full store of one layer and stream; reads are folded in, all "
        "entries scored, the best kept. Median [95 % interval of the median] of interleaved repeats, one "
        "thread.\n\n"
        + _rounds(cost)
        + "\nIn a stream: time inside the rounds, and how much longer the whole stream takes than under fifo "
        "(watching what is read counts there too).\n\n" + _streams(cost) + "\n" + _growth(growth)
    )


def _rounds(cost: pd.DataFrame) -> str:
    table = cost[cost["metric"] == "round"]
    sizes = sorted(int(size) for size in table["entries"].unique())
    rows = []
    for (policy, tiers), part in table.groupby(["policy", "tiers"], sort=False):
        at = part.drop_duplicates("entries").set_index("entries")
        rows.append(
            (policy, tiers, *(_reading(at.loc[size], 2) if size in at.index else "–" for size in sizes))
        )
    return text.table(("policy", "tiers", *(f"{size:,} entries (ms)" for size in sizes)), rows)


def _streams(cost: pd.DataFrame) -> str:
    rows = []
    for policy, part in cost[cost["metric"].isin(_STREAM)].groupby("policy", sort=False):
        at = part.drop_duplicates("metric").set_index("metric")
        rows.append((policy, *(_reading(at.loc[m], 1) if m in at.index else "–" for m in _STREAM)))
    return text.table(("policy", *_STREAM.values()), rows)


def _reading(row: pd.Series, digits: int) -> str:
    if row["value"] != row["value"]:
        return str(row["method"])
    return f"{row['value']:.{digits}f} [{row['ci_low']:.{digits}f}, {row['ci_high']:.{digits}f}]"


def _growth(growth: pd.DataFrame) -> str:
    rows = []
    for policy, part in growth.groupby("policy", sort=False):
        part = part.sort_values("tokens")
        budget = part["budget_bytes"].iloc[0]
        rows.append(
            (
                str(policy),
                text.count(part["tokens"].iloc[-1]),
                "none" if budget != budget else text.count(budget),
                text.count(part["bytes"].max()),
                text.count(part["resident_bytes"].max()),
                f"{(part['rss_bytes'].iloc[-1] - part['rss_bytes'].iloc[0]) / text.MEGABYTE:+.1f}",
            )
        )
    head = ("memory", "tokens", "budget (bytes)", "most bytes", "most allocated", "process growth (MB)")
    return text.table(head, rows)
