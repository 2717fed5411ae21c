"""Accuracy by place of the target and budget, one small map per policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

COLUMNS = 5


@figure("eviction_heatmap", ("eviction",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Rows of a map: place and length; columns: budgets; shade: accuracy, mean over tasks and seeds."""
    table = tables["eviction"].dropna(subset=["accuracy"])
    table = table[~table["query_aware"].astype(bool)]
    policies = style.ordered(table["policy"], style.POLICIES)
    rows = max(1, math.ceil(len(policies) / COLUMNS))
    columns = min(COLUMNS, max(1, len(policies)))
    fig = style.canvas(2.1 * columns + 1.9, 1.9 * rows + 0.9)
    axes = fig.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    if not policies:
        style.empty_panel(axes[0, 0])
        return fig
    budgets = sorted(table["budget"].unique())
    places = sorted(set(zip(table["position"], table["length"], strict=True)))
    image = None
    for ax, policy in zip(axes.flat, policies, strict=False):
        image = _map(ax, table[table["policy"] == policy], places, budgets)
        ax.set_title(policy)
    for ax in axes.flat[len(policies) :]:
        ax.set_visible(False)
    for index in range(len(policies)):
        if index + COLUMNS >= len(policies):
            axes.flat[index].tick_params(labelbottom=True)
            axes.flat[index].set_xlabel("budget (%)")
    fig.colorbar(image, ax=axes, label="accuracy (share correct)", shrink=0.8)
    style.caption(
        fig,
        f"{', '.join(sorted(set(table['task'])))}; mean over tasks and {style.seeds_text(table['seed'])}; "
        f"n = {style.span_text(table['n'])} rows per cell and seed.",
    )
    return fig


def _map(ax: Axes, cells: pd.DataFrame, places: list[tuple[str, int]], budgets: list[float]) -> Any:
    grid = cells.groupby(["position", "length", "budget"])["accuracy"].mean()
    values = [[grid.get((*place, budget), math.nan) for budget in budgets] for place in places]
    image = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if value == value:
                color = "white" if value < 0.6 else "black"
                ax.text(
                    x,
                    y,
                    f"{value:.2f}"[1:] if value < 1 else "1",
                    ha="center",
                    va="center",
                    color=color,
                    size=7,
                )
    ax.set_xticks(range(len(budgets)), [f"{100 * budget:g}" for budget in budgets])
    labels = [f"{place}, {style.short_count(int(length))}" for place, length in places]
    ax.set_yticks(range(len(places)), labels, fontsize=8)
    style.separate_cells(ax, (len(places), len(budgets)))
    return image
