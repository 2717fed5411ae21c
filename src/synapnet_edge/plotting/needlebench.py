"""The NeedleBench tasks of the reference protocol: every variant beside the published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.suites import short_name
from synapnet_edge.reporting.aggregate import scores
from synapnet_edge.reporting.forerunner import published

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SUITE = "needlebench_reference"


@figure(
    "needlebench",
    ("benchmark",),
    uses=("plotting.suites", "reporting.aggregate", "reporting.forerunner", "evaluation.statistics"),
    suites=(SUITE,),
)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One row of dots per task and one panel per length: variants below each other, intervals drawn."""
    table = tables["benchmark"]
    table = table[table["suite"] == SUITE].dropna(subset=["score"])
    model = style.pick_model(table)
    cells = scores(table[table["model"] == model])
    lengths = sorted({int(length) for length in cells["length"]})
    tasks = list(dict.fromkeys(cells["task"]))
    variants = style.ordered(cells["variant"], style.VARIANTS)
    height = 0.115 * max(3, len(variants)) * max(1, len(tasks)) + 1.6
    fig = style.canvas(4.2 * max(1, len(lengths)) + 2.2, height)
    axes = fig.subplots(1, max(1, len(lengths)), squeeze=False, sharey=True)[0]
    if not tasks:
        style.empty_panel(axes[0])
        return fig
    handles: dict[str, Any] = {}
    for ax, length in zip(axes, lengths, strict=True):
        handles |= _panel(ax, cells[cells["length"] == length], tasks, variants)
        ax.set_title(f"{length} tokens")
        ax.set_xlabel("accuracy (share correct)")
    axes[0].set_yticks(range(len(tasks)), [short_name(task) for task in tasks])
    axes[0].set_ylim(len(tasks) - 0.5, -0.5)
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"Model {model}; {style.seeds_text(table['seed'])}, each trained from scratch; n = "
        f"{style.span_text(cells['n_total'])} rows per cell over all seeds; bars: 95 % interval pooled over "
        "seeds. Published: one draw of 32 samples of one training.",
    )
    return fig


def _panel(ax: Axes, cells: pd.DataFrame, tasks: list[str], variants: list[str]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    step = 0.78 / max(1, len(variants))
    for row, task in enumerate(tasks):
        here = cells[cells["task"] == task]
        for number, variant in enumerate(variants):
            mine = here[here["variant"] == variant]
            if mine.empty:
                continue
            cell, look = mine.iloc[0], style.look_of(variant, style.VARIANTS)
            error = [[max(0.0, cell["mean"] - cell["ci_low"])], [max(0.0, cell["ci_high"] - cell["mean"])]]
            handles[variant] = ax.errorbar(
                cell["mean"],
                row + step * (number - (len(variants) - 1) / 2),
                xerr=error,
                color=look.color,
                marker=look.marker,
                linestyle="none",
                elinewidth=0.9,
                capsize=1.5,
                label=variant,
            )
        for level, name, dash in (("guess", "best shortcut", "--"), ("chance", "chance", ":")):
            if len(here):
                spot = [float(here[level].mean())] * 2
                (handles[name],) = ax.plot(
                    spot, [row - 0.42, row + 0.42], dash, color="#777777", linewidth=1.2
                )
        theirs = published(task, "fp16", int(cells["length"].iloc[0]))
        if theirs:
            (handles["published: forerunner fp16"],) = ax.plot(
                theirs.mean, row, "o", color=style.BLACK, markerfacecolor="white", markersize=6.5, zorder=5
            )
        if row:
            ax.axhline(row - 0.5, color="#dddddd", linewidth=0.8)
    ax.set_xlim(-0.03, 1.04)
    ax.grid(axis="y", visible=False)
    return handles
