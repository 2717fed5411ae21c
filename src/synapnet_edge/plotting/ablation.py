"""What each part of the model is worth: small models trained without it, beside the full one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.ablation import FULL, arm_order, pooled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas


@figure(
    "ablation", ("experiment",), uses=("reporting.ablation", "reporting.aggregate", "evaluation.statistics")
)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One column per task, one row per length; arms from top to bottom, the full model's interval shaded."""
    table = tables["experiment"].dropna(subset=["score"])
    arms = arm_order(table)
    tasks, lengths = list(dict.fromkeys(table["task"])), sorted(set(table["length"]))
    columns, rows = max(1, len(tasks)), max(1, len(lengths))
    fig = style.canvas(2.6 * columns + 3.4, (0.29 * max(3, len(arms)) + 0.6) * rows + 0.9)
    axes = fig.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    handles: dict[str, Any] = {}
    if not arms:
        style.empty_panel(axes[0, 0])
    for row, length in enumerate(lengths):
        for column, task in enumerate(tasks):
            key = (table["task"] == task) & (table["length"] == length)
            if key.any():
                handles |= _panel(axes[row, column], table[key], pooled(table[key]), arms)
            else:
                style.empty_panel(axes[row, column])
            axes[row, column].set_title(f"{task}\n{int(length)} tokens")
    for ax in axes[-1]:
        ax.set_xlabel("accuracy (share correct)")
    style.legend_right(fig, handles)
    experiments = ", ".join(dict.fromkeys(table["experiment"]))
    style.caption(
        fig,
        f"Experiment {experiments}; {style.span_text(table['parameters'])} parameters; n = "
        f"{style.span_text(table['n'])} per dot; {style.seeds_text(table['seed'])}: one training each from "
        "scratch, or trained weights that were changed; bars: 95 % interval pooled over seeds.",
    )
    return fig


def _panel(ax: Axes, cells: pd.DataFrame, means: pd.DataFrame, arms: list[str]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    place = {arm: position for position, arm in enumerate(arms)}
    full = means[means["arm"] == FULL]
    if len(full):
        span = float(full["ci_low"].iloc[0]), float(full["ci_high"].iloc[0])
        handles[f"interval of {FULL}"] = ax.axvspan(*span, color=style.SKY, alpha=0.3, linewidth=0)
    handles["chance"] = ax.axvline(cells["chance"].mean(), color="#777777", linestyle=":", linewidth=1.1)
    # Below the mean, or a seed that equals it would be hidden.
    below = cells["arm"].map(place) + 0.27
    look = {"color": style.ORANGE, "markersize": 3, "label": "one seed"}
    (handles["one seed"],) = ax.plot(cells["score"], below, "o", **look)
    bars = [means["mean"] - means["ci_low"], means["ci_high"] - means["mean"]]
    handles["mean over seeds"] = ax.errorbar(
        means["mean"],
        means["arm"].map(place),
        xerr=[bar.clip(lower=0) for bar in bars],
        fmt="D",
        color=style.BLUE,
        markersize=4,
        capsize=2,
        elinewidth=1.0,
        label="mean over seeds",
    )
    ax.set_yticks(range(len(arms)), arms)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.set_xlim(-0.03, 1.04)
    return handles
