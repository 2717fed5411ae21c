"""The retention classifier over seeds, learning rates and shares of wrong labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

PANELS = {"validation_auc": "unseen documents", "task_auc": "unseen task family"}


@figure("retention_stability", ("retention_stability",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One line per learning rate: mean AUC and every single fit, against the share of wrong labels."""
    table = tables["retention_stability"]
    fig = style.canvas(8.6, 3.6)
    axes = fig.subplots(1, len(PANELS), sharey=True)
    if table.empty:
        for ax in axes:
            style.empty_panel(ax)
        return fig
    handles: dict[str, Any] = {}
    rates = sorted(table["learning_rate"].unique())
    lowest = 0.5
    for ax, (column, title) in zip(axes, PANELS.items(), strict=True):
        ax.set_title(title)
        ax.set_xlabel("wrong training labels (%)")
        ax.axhline(0.5, color="#999999", linewidth=0.8)
        for index, rate in enumerate(rates):
            mine = table[table["learning_rate"] == rate].dropna(subset=[column])
            shift = 0.25 * (index - (len(rates) - 1) / 2)
            color, label = style.SEEDS[index % len(style.SEEDS)], f"rate {rate:g}"
            ax.plot(100 * mine["label_noise"] + shift, mine[column], ".", color=color, alpha=0.45)
            mean = mine.groupby("label_noise")[column].mean()
            (handles[label],) = ax.plot(100 * mean.index + shift, mean, "o-", color=color, label=label)
            lowest = min(lowest, mine[column].min() if len(mine) else lowest)
    axes[0].set_ylim(min(0.48, lowest - 0.02), 1.0)
    axes[0].set_ylabel("AUC: top fifth by future reads")
    style.legend_right(fig, handles)
    fits = len(table)
    style.caption(
        fig,
        f"n = {fits} fits: {table['fit_seed'].nunique()} initialisations x {len(rates)} rates x "
        f"{table['label_noise'].nunique()} shares, on the traces of {style.seeds_text(table['seed'])}. "
        "Small dots: single fits. Grey line: chance.",
    )
    return fig
