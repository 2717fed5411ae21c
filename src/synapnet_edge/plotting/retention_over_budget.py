"""What is held: retention in the reading layer and agreement with the oracle, against the budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PANELS = {
    "retention_same_layer": "target held by the layer\nthat reads it (share of rows)",
    "precision": "share of the oracle's\nchoice that is held",
    "accuracy_evicted": "accuracy where that layer\nlost the target",
}


@figure("retention_over_budget", ("eviction",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One column per place of the target, all tasks and lengths together; lines: policies."""
    table = tables["eviction"].dropna(subset=["accuracy"])
    table = table[~table["query_aware"].astype(bool)]
    places = [place for place in ("early", "late", "anywhere") if place in set(table["position"])]
    fig = style.canvas(3.0 * max(1, len(places)) + 2.2, 7.2)
    axes = fig.subplots(len(PANELS), max(1, len(places)), squeeze=False, sharex=True, sharey="row")
    if not places:
        for ax in axes[:, 0]:
            style.empty_panel(ax)
        return fig
    handles: dict[str, Any] = {}
    for column, place in enumerate(places):
        cells = table[table["position"] == place]
        axes[0, column].set_title(place)
        for row, (measure, label) in enumerate(PANELS.items()):
            handles |= _lines(axes[row, column], cells, measure)
            axes[row, 0].set_ylabel(label)
        axes[-1, column].set_xlabel("memory budget (% of unbounded)")
    style.legend_right(fig, handles)
    tasks, lengths = (", ".join(map(str, sorted(set(table[key])))) for key in ("task", "length"))
    style.caption(
        fig,
        f"{tasks}; lengths {lengths} tokens; mean over tasks, lengths and {style.seeds_text(table['seed'])}; "
        f"n = {style.span_text(table['n'])} rows per cell and seed. Oracle: what a full-memory pass shows "
        "that the question reads most.",
    )
    return fig


def _lines(ax: Axes, cells: pd.DataFrame, measure: str) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    for index, policy in enumerate(style.ordered(cells["policy"], style.POLICIES)):
        mean = cells[cells["policy"] == policy].groupby("budget")[measure].mean().dropna()
        look = style.look_of(policy, style.POLICIES)
        (handles[policy],) = ax.plot(
            [100 * budget for budget in mean.index],
            mean,
            look.dash,
            color=look.color,
            marker=look.marker,
            label=policy,
            zorder=20 - index,
        )
    ax.set_ylim(-0.03, 1.04)
    return handles
