"""What the bridge between the pathways is worth: trained with it, without it, and taken out afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.ablation import FULL, pooled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

ARMS = {  # arm of the experiment -> words, colour
    FULL: ("with the bridge", style.BLUE),
    "no_bridge": ("trained without it", style.ORANGE),
    "bridge_removed": ("taken out after training", style.RED),
}
WIDTH = 0.26


@figure(
    "scale_bridge",
    ("experiment",),
    uses=("reporting.ablation", "reporting.aggregate", "evaluation.statistics"),
    experiments=("ablation",),
)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One panel per length; three bars per task, each seed as a dot."""
    table = tables["experiment"].dropna(subset=["score"])
    table = table[table["arm"].isin(ARMS)]
    lengths = sorted(set(table["length"]))
    tasks = list(dict.fromkeys(table["task"]))
    fig = style.canvas(1.0 * max(3, len(tasks)) + 4.2, 2.5 * max(1, len(lengths)) + 0.6)
    axes = fig.subplots(max(1, len(lengths)), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    if not tasks:
        style.empty_panel(axes[0])
        return fig
    handles: dict[str, Any] = {}
    for ax, length in zip(axes, lengths, strict=True):
        handles |= _panel(ax, table[table["length"] == length], tasks)
        ax.set_title(f"{int(length)} tokens")
        ax.set_ylabel("accuracy (share correct)")
    axes[-1].set_xticks(range(len(tasks)), [task.replace("/", "/\n") for task in tasks])
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"{style.span_text(table['parameters'])} parameters; {style.seeds_text(table['seed'])}, each trained "
        f"from scratch; n = {style.span_text(table['n'])} per dot (one seed); bars: mean over seeds with the "
        "95 % interval pooled over seeds.",
    )
    return fig


def _panel(ax: Axes, cells: pd.DataFrame, tasks: list[str]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    means = pooled(cells)
    place = {task: position for position, task in enumerate(tasks)}
    for number, (arm, (words, color)) in enumerate(ARMS.items()):
        mine, single = means[means["arm"] == arm], cells[cells["arm"] == arm]
        if mine.empty:
            continue
        shift = WIDTH * (number - 1)
        at = mine["task"].map(place) + shift
        bars = [(mine["mean"] - mine["ci_low"]).clip(lower=0), (mine["ci_high"] - mine["mean"]).clip(lower=0)]
        handles[words] = ax.bar(
            at,
            mine["mean"],
            WIDTH * 0.9,
            yerr=bars,
            color=color,
            alpha=0.75,
            label=arm,
            error_kw={"elinewidth": 1.0, "capsize": 2},
        )
        spots = single["task"].map(place) + shift + 0.06
        (handles["one seed"],) = ax.plot(spots, single["score"], "o", color="black", markersize=2.6)
    chance = cells.groupby("task")["chance"].mean()
    for task, level in chance.items():
        (handles["chance"],) = ax.plot(
            [place[task] - 0.42, place[task] + 0.42], [level] * 2, ":", color="#777777"
        )
    ax.set_ylim(0, 1.06)
    ax.grid(axis="x", visible=False)
    return handles
