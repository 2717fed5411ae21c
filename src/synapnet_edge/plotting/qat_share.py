"""Accuracy against the share of training that is quantised, at equal total steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@figure("qat_share", ("qat_share",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One panel per length, one line per task: mean over trained seeds, band from lowest to highest."""
    table = tables["qat_share"].dropna(subset=["score"])
    lengths = sorted(set(table["length"]))
    fig = style.canvas(3.2 * max(1, len(lengths)) + 2.4, 3.4)
    axes = fig.subplots(1, max(1, len(lengths)), squeeze=False, sharey=True).ravel()
    if not lengths:
        style.empty_panel(axes[0])
        return fig
    handles: dict[str, Any] = {}
    tasks = sorted(set(table["task"]))
    for ax, length in zip(axes, lengths, strict=True):
        for place, task in enumerate(tasks):
            cell = table[(table["task"] == task) & (table["length"] == length)]
            spread = cell.groupby("share")["score"].agg(["mean", "min", "max"])
            color, marker = style.SEEDS[place % len(style.SEEDS)], "os^Dv"[place % 5]
            look = {"color": color, "marker": marker, "label": task}
            (handles[task],) = ax.plot(100 * spread.index, spread["mean"], "-", **look)
            ax.fill_between(
                100 * spread.index, spread["min"], spread["max"], color=color, alpha=0.13, linewidth=0
            )
        ax.set_xlabel("quantised share of training (%)")
        ax.set_xticks(sorted(set(100 * table["share"])))
        ax.set_title(f"{style.short_count(int(length))} tokens")
        ax.set_ylim(-0.03, 1.04)
    axes[0].set_ylabel("accuracy (share correct)")
    style.legend_right(fig, handles)
    variants = ", ".join(sorted(set(table["variant"])))
    style.caption(
        fig,
        f"Small model, variant {variants}, equal total steps at every share; 0 = trained in float, quantised "
        f"without training; n = {style.span_text(table['n'])} rows a point and seed; "
        f"{style.seeds_text(table['seed'])}; line: mean, band: lowest to highest seed.",
    )
    return fig
