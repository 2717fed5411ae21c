"""Accuracy far beyond the training length, one panel per task, beside goals and published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.forerunner import published_rows
from synapnet_edge.reporting.targets import SUITE, TARGETS, VARIANT, goal_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

COLUMNS = 5
ORDER = list(dict.fromkeys(task for target in TARGETS for task in target.tasks))


@figure(
    "long_context",
    ("benchmark", "history"),
    uses=("evaluation.statistics", "reporting.forerunner", "reporting.targets"),
    suites=(SUITE,),
)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Mean over trained seeds with the 95 % Wilson interval pooled over them; small dots are single seeds."""
    table = tables["benchmark"]
    table = table[(table["suite"] == SUITE) & (table["variant"] == VARIANT)].dropna(subset=["score"])
    model = style.pick_model(table)
    table = table[table["model"] == model]
    present = list(dict.fromkeys(table["task"]))
    tasks = [task for task in ORDER if task in present] + [task for task in present if task not in ORDER]
    columns = min(COLUMNS, max(1, len(tasks)))
    rows = max(1, ceil(len(tasks) / columns))
    fig = style.canvas(2.6 * columns + 2.2, 2.35 * rows + 0.7)
    axes = fig.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    handles: dict[str, Any] = {}
    history = tables["history"]
    trained = history.loc[history["model"] == model, "length"].max()
    theirs = [row.length for task in tasks for row in published_rows(task) if row.variant == VARIANT]
    lengths = {int(length) for length in [*table["length"], *theirs]}
    for ax, task in zip(axes, tasks, strict=False):
        handles |= _panel(ax, table[table["task"] == task], task, trained)
        style.length_axis(ax, lengths, "")
        ax.tick_params(axis="x", labelsize=8, labelrotation=45)
    _label(axes, rows, columns, len(tasks))
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"Model {model}, {VARIANT}; n = {style.span_text(table['n'])} rows per point and seed; "
        f"{style.seeds_text(table['seed'])}, each trained from scratch; bars: 95 % interval pooled over "
        "seeds.",
    )
    return fig


def _label(axes: Any, rows: int, columns: int, used: int) -> None:
    """Axis labels at the left and under the last panel of each column; panels without a task disappear."""
    if not used:
        style.empty_panel(axes[0])
    for ax in axes[max(1, used) :]:
        ax.set_axis_off()
    for row in range(rows):
        axes[row * columns].set_ylabel("accuracy (share)")
    for ax in axes[max(0, max(1, used) - columns) : max(1, used)]:
        ax.set_xlabel("sequence length (tokens)")
        ax.tick_params(axis="x", labelbottom=True)


def _panel(ax: Axes, cells: pd.DataFrame, task: str, trained: float) -> dict[str, Any]:
    # Imported when drawing: the package behind it loads torch, which listing figures does not need.
    from synapnet_edge.evaluation.statistics import wilson_interval

    handles: dict[str, Any] = {}
    look = {"color": style.SKY, "markersize": 2.5, "zorder": 5, "label": "one seed"}
    (handles["one seed"],) = ax.plot(cells["length"], cells["score"], "o", **look)
    lengths, means, low, high = [], [], [], []
    for length, at in cells.groupby("length"):
        interval = wilson_interval(round((at["score"] * at["n"]).sum()), int(at["n"].sum()))
        mean = at["score"].mean()
        lengths.append(length)
        means.append(mean)
        low.append(max(0.0, mean - interval.low))
        high.append(max(0.0, interval.high - mean))
    handles["mean over seeds"] = ax.errorbar(
        lengths,
        means,
        yerr=[low, high],
        color=style.BLUE,
        marker="o",
        capsize=2,
        elinewidth=0.9,
        label="mean over seeds",
    )
    goals = [(length, goal) for length in lengths if (goal := goal_of(task, int(length))) is not None]
    if goals:
        (handles["goal"],) = ax.plot(
            *zip(*goals, strict=True), "_", color=style.RED, markersize=13, label="goal"
        )
    (handles["chance"],) = ax.plot(lengths, cells.groupby("length")["chance"].mean(), ":", color="#777777")
    if trained == trained:
        handles["longest training sequence"] = ax.axvline(
            trained, color=style.GREEN, linestyle="--", linewidth=1.1
        )
    theirs = [row for row in published_rows(task) if row.variant == VARIANT]
    if theirs:
        (handles[f"published: forerunner {VARIANT}"],) = ax.plot(
            [row.length for row in theirs],
            [row.mean for row in theirs],
            "D",
            color=style.ORANGE,
            markerfacecolor="white",
            label="published",
        )
    ax.set_ylim(-0.03, 1.06)
    ax.set_title(task)
    return handles
