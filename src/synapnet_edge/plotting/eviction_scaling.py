"""Time of one eviction round against the size of the store, with the fitted slope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.policy_goals import ROUNDS_MS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

LARGE = 16384  # entries from which the slope is fitted: below, the fixed cost of a round shows


@figure("eviction_scaling", ("eviction_cost",), uses=("reporting.policy_goals",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Both axes logarithmic; bars: 95 % interval of the median; crosses: the goals."""
    import numpy as np

    table = tables["eviction_cost"]
    table = table[table["metric"] == "round"].dropna(subset=["value"])
    fig = style.canvas(7.6, 4.2)
    ax = fig.subplots()
    if table.empty:
        style.empty_panel(ax)
        return fig
    handles: dict[str, Any] = {}
    for policy in style.ordered(table["policy"], style.POLICIES):
        look = style.look_of(policy, style.POLICIES)
        mine = table[table["policy"] == policy].sort_values("entries")
        large = mine[mine["entries"] >= LARGE]
        label = policy
        if len(large) >= 2:
            slope = np.polyfit(np.log(large["entries"]), np.log(large["value"]), 1)[0]
            label = f"{policy}, slope {slope:.2f}"
        bars = [mine["value"] - mine["ci_low"], mine["ci_high"] - mine["value"]]
        handles[label] = ax.errorbar(
            mine["entries"],
            mine["value"],
            yerr=[bar.clip(lower=0) for bar in bars],
            color=look.color,
            marker=look.marker,
            linestyle=look.dash,
            capsize=2,
        )
    handles["goal"] = ax.scatter(
        list(ROUNDS_MS), list(ROUNDS_MS.values()), marker="x", color="black", zorder=30
    )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ticks = sorted(int(size) for size in table["entries"].unique())
    ax.set_xticks(ticks, [_short(tick) for tick in ticks])
    ax.set_xlabel("entries in the store")
    ax.set_ylabel("one eviction round (ms)")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        "One layer, one stream, one thread; 32 random entries of a fixed seed arrive; median of "
        f"n = {style.span_text(table['repeats'])} interleaved rounds; slope of log time over log size from "
        f"{style.short_count(LARGE)} entries on.",
    )
    return fig


def _short(number: int) -> str:
    return f"{number // 2**20}M" if number >= 2**20 and number % 2**20 == 0 else style.short_count(number)
