"""What eviction costs per token of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.policy_goals import STREAM_MICROSECONDS, STREAM_SHARE

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

PANELS = {
    "eviction_per_token": ("time in rounds (µs a token)", STREAM_MICROSECONDS),
    "eviction_share": ("time in rounds (% of the stream)", STREAM_SHARE),
    "stream_against_fifo": ("whole stream against fifo (%)", None),
}


@figure("eviction_overhead", ("eviction_cost",), uses=("reporting.policy_goals",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One bar per policy with the 95 % interval of the median; dotted: the goal."""
    table = tables["eviction_cost"]
    table = table[table["metric"].isin(PANELS)].dropna(subset=["value"])
    policies = style.ordered(table["policy"], style.POLICIES)
    fig = style.canvas(10.4, 0.34 * len(policies) + 2.0)
    axes = fig.subplots(1, len(PANELS), sharey=True)
    if not policies:
        for ax in axes:
            style.empty_panel(ax)
        return fig
    for ax, (metric, (label, goal)) in zip(axes, PANELS.items(), strict=True):
        at = table[table["metric"] == metric].drop_duplicates("policy").set_index("policy")
        known = [policy for policy in policies if policy in at.index]
        rows = at.loc[known]
        ax.barh(
            [policies.index(policy) for policy in known],
            rows["value"],
            xerr=[
                (rows["value"] - rows["ci_low"]).clip(lower=0),
                (rows["ci_high"] - rows["value"]).clip(lower=0),
            ],
            color=[style.look_of(policy, style.POLICIES).color for policy in known],
            error_kw={"elinewidth": 1.0, "capsize": 2},
        )
        if goal is not None:
            ax.axvline(goal, color="black", linestyle=":", linewidth=1.2)
        ax.set_xlabel(label)
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(policies)), policies)
    axes[0].invert_yaxis()
    method = ", ".join(sorted(set(table["method"].astype(str))))
    style.caption(
        fig,
        f"{method}; memory of {style.span_text(table['entries'])} entries a layer; median of "
        f"n = {style.span_text(table['repeats'])} streams of one trained seed, policies in turn, one thread. "
        "Dotted: goal.",
    )
    return fig
