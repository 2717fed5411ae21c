"""One panel per suite: the score of every task and variant as grouped bars, with chance and shortcut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.suites import SUITES, USES, in_order, pooled_cells, short_name
from synapnet_edge.reporting.effective_length import suite_means

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

GROUP = 0.84  # width of the bars of one task; tasks stand 1 apart
WIDEST = 0.3  # width of a bar where few variants are compared


@figure("suite_overview", ("benchmark",), uses=USES, suites=SUITES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Mean over trained seeds with the 95 % interval pooled over them, at the suite's fullest length."""
    import pandas as pd

    cells = pooled_cells(tables["benchmark"])
    table = pd.concat([suite_means(cells.table), cells.table], ignore_index=True)
    suites = cells.suites
    panels = [table[table["suite"] == suite] for suite in suites]
    panels = [part[part["length"] == fullest_length(part)] for part in panels]
    widest = max((part["task"].nunique() for part in panels), default=4)
    fig = style.canvas(3.0 + 0.68 * max(widest, 6), 2.5 * max(1, len(suites)) + 0.5)
    axes = fig.subplots(max(1, len(suites)), 1, squeeze=False).ravel()
    if not suites:
        style.empty_panel(axes[0])
        return fig
    handles: dict[str, Any] = {}
    for ax, suite, part in zip(axes, suites, panels, strict=True):
        handles |= _panel(ax, part, cells.variants, widest)
        length = style.short_count(int(part["length"].iloc[0]))
        ax.set_title(f"{suite}, {length} tokens")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"{cells.facts()}, whiskers: 95 % interval pooled over seeds. Each suite at the length at which most "
        "of its tasks are measured, the longest of several. First group: unweighted mean of the tasks.",
    )
    return fig


def fullest_length(part: pd.DataFrame) -> int:
    """The length with most tasks, the longest of several."""
    counts = part.groupby("length")["task"].nunique()
    return int(counts[counts == counts.max()].index.max())


def _panel(ax: Axes, part: pd.DataFrame, variants: list[str], widest: int) -> dict[str, Any]:
    """Draw one suite; returns label -> artist for the common legend."""
    from matplotlib.patheffects import Normal, Stroke

    handles: dict[str, Any] = {}
    tasks = in_order(part["task"])
    place = {task: index for index, task in enumerate(tasks)}
    width = min(WIDEST, GROUP / len(variants))
    for index, variant in enumerate(variants):
        mine = part[part["variant"] == variant]
        look = style.look_of(variant, style.VARIANTS)
        x = [place[task] + (index - (len(variants) - 1) / 2) * width for task in mine["task"]]
        spread = [
            (mine["mean"] - mine["ci_low"]).clip(lower=0),
            (mine["ci_high"] - mine["mean"]).clip(lower=0),
        ]
        handles[variant] = ax.bar(
            x,
            mine["mean"],
            0.92 * width,
            color=look.color,
            alpha=1.0 if look.dash == "-" else 0.55,
            hatch=None if look.dash == "-" else "////",
            edgecolor="white",
            linewidth=0.3,
            yerr=spread,
            error_kw={"elinewidth": 0.8, "ecolor": "#808080", "capsize": 0.8 if len(variants) > 3 else 2},
            label=variant,
        )
    levels = part.groupby("task")[["guess", "chance"]].mean()
    for level, dash, label in (("guess", "-", "best shortcut"), ("chance", ":", "chance")):
        handles[label] = ax.hlines(
            levels[level],
            [place[task] - 0.47 for task in levels.index],
            [place[task] + 0.47 for task in levels.index],
            color="#333333",
            linestyle=dash,
            linewidth=1.3,
            path_effects=[Stroke(linewidth=3, foreground="white"), Normal()],  # to be seen on dark bars
            zorder=4,
            label=label,
        )
    ax.set_xticks(
        range(len(tasks)), [short_name(task) for task in tasks], rotation=28, ha="right", fontsize=8
    )
    ax.tick_params(axis="x", length=0)
    ax.grid(axis="x", visible=False)
    ax.set_xlim(-0.6, max(widest, 6) - 0.4)
    ax.set_ylim(0, 1.04)
    ax.set_ylabel("score (share)")
    return handles
