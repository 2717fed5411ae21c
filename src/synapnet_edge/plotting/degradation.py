"""Score against length of every task of the guarded suites, one line per variant."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.suites import SUITES, USES, in_order, pooled_cells
from synapnet_edge.reporting.effective_length import MEAN, THRESHOLD, suite_means

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

COLUMNS = 6
DODGE = 1.05  # neighbouring variants are set apart by 5 % in x, or ties would hide each other


@figure("degradation", ("benchmark", "history"), uses=USES, suites=SUITES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Mean over trained seeds with the 95 % interval pooled over them; every suite starts with its mean."""
    import numpy as np
    import pandas as pd

    cells = pooled_cells(tables["benchmark"])
    table = pd.concat([suite_means(cells.table), cells.table], ignore_index=True)
    suites = cells.suites
    tasks = {suite: in_order(_of(table, suite)["task"]) for suite in suites}
    columns = min(COLUMNS, max([len(names) for names in tasks.values()], default=1))
    rows = [ceil(len(tasks[suite]) / columns) for suite in suites]  # every suite starts a row
    fig = style.canvas(2.3 * columns + 2.2, 2.1 * max(1, sum(rows)) + 0.8)
    axes = fig.subplots(max(1, sum(rows)), columns, squeeze=False, sharex=True, sharey=True)
    if not suites:
        style.empty_panel(axes[0, 0])
        return fig
    history = tables["history"]
    trained = history.loc[history["model"] == cells.model, "length"].max()
    handles: dict[str, Any] = {}
    for suite, block in zip(suites, np.split(axes, np.cumsum(rows)[:-1]), strict=True):
        part, panels = _of(table, suite), block.ravel()
        for ax, task in zip(panels, tasks[suite], strict=False):
            handles |= _panel(ax, part[part["task"] == task], cells.variants, trained)
            ax.set_title(f"{suite}: {MEAN}" if task == MEAN else task, fontsize=8.5)
            style.length_axis(ax, table["length"], "")
            ax.tick_params(axis="x", labelsize=8, labelrotation=45)
        _label(block, len(tasks[suite]))
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"{cells.facts()}, bars: 95 % interval pooled over seeds. Means of tasks: at lengths at which every "
        "task of the suite is measured.",
    )
    return fig


def _of(table: pd.DataFrame, suite: str) -> pd.DataFrame:
    return table[table["suite"] == suite]


def _label(block: Any, used: int) -> None:
    """Axis labels at the left and under the last panel of each column; panels without a task disappear."""
    columns = block.shape[1]
    for index, ax in enumerate(block.ravel()):
        if index >= used:
            ax.set_axis_off()
        elif index + columns >= used:
            ax.set_xlabel("length (tokens)")
            ax.tick_params(axis="x", labelbottom=True)
    for ax in block[:, 0]:
        ax.set_ylabel("score (share)")


def _panel(ax: Axes, cells: pd.DataFrame, variants: list[str], trained: float) -> dict[str, Any]:
    """Draw one task; returns label -> artist for the common legend."""
    handles: dict[str, Any] = {}
    for position, variant in enumerate(variants):
        look = style.look_of(variant, style.VARIANTS)
        mine = cells[cells["variant"] == variant].sort_values("length")
        if mine.empty:
            continue
        handles[variant] = ax.errorbar(
            mine["length"] * DODGE ** (position - (len(variants) - 1) / 2),
            mine["mean"],
            yerr=[
                (mine["mean"] - mine["ci_low"]).clip(lower=0),
                (mine["ci_high"] - mine["mean"]).clip(lower=0),
            ],
            color=look.color,
            marker=look.marker,
            linestyle=look.dash,
            markersize=3.5,
            linewidth=1.3,
            elinewidth=0.8,
            capsize=1.5,
            label=variant,
        )
    levels = cells.groupby("length")[["guess", "chance"]].mean()
    for level, dash, label in (("guess", "--", "best shortcut"), ("chance", ":", "chance")):
        (handles[label],) = ax.plot(
            levels.index, levels[level], dash, color="#777777", linewidth=1.1, label=label
        )
    handles[f"effective length: {THRESHOLD}"] = ax.axhline(THRESHOLD, color=style.SKY, linewidth=1.1)
    if trained == trained:
        handles["longest training sequence"] = ax.axvline(
            trained, color=style.GREEN, linestyle="--", linewidth=1.1
        )
    ax.set_ylim(-0.03, 1.06)
    return handles
