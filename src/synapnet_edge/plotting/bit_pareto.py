"""Accuracy against average bits: allocated and uniform models of the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

POOLED = "all tasks"
SIDES = (
    ("score_cajq", "CAJQ, bits allocated", style.RED, "D"),
    ("score_uniform", "best uniform", style.ORANGE, "^"),
)
SIGNIFICANT = 0.05


@figure("bit_pareto", ("equal_bytes",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One panel for all tasks together and one for each cell; stars where the difference is significant."""
    table = tables["equal_bytes"]
    model = style.pick_model(table)
    table = table[table["model"] == model]
    cells = sorted(
        set(zip(table["task"], table["length"], strict=True)), key=lambda cell: (cell[0] != POOLED, cell)
    )
    columns = min(3, max(1, len(cells)))
    rows = max(1, ceil(len(cells) / columns))
    fig = style.canvas(3.1 * columns + 2.4, 2.8 * rows + 0.6)
    axes = fig.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    handles: dict[str, Any] = {}
    for ax, (task, length) in zip(axes, cells, strict=False):
        handles |= _panel(ax, table[(table["task"] == task) & (table["length"] == length)])
        ax.set_title(task if task == POOLED else f"{task}, {style.short_count(length)}")
    for ax in axes[len(cells) :]:
        ax.set_axis_off()
    if not cells:
        style.empty_panel(axes[0])
        return fig
    for row in range(rows):
        axes[row * columns].set_ylabel("accuracy (share correct)")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"Model {model}; trained seeds: {int(table['seeds'].max())}; n = {style.span_text(table['n'])} pairs "
        "a point. At each point the allocated file takes no more bytes than the uniform one; uniform is the "
        "better of AWQ and round to nearest. Star: paired difference with p < 0.05 (all tasks: after Holm's "
        "correction over the byte points). Dotted: FP16.",
    )
    return fig


def _panel(ax: Axes, cell: pd.DataFrame) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    for training, dash in (("none", "-"), ("qat", "--")):
        part = cell[cell["training"] == training].sort_values("bits")
        if part.empty:
            continue
        for column, label, color, marker in SIDES:
            name = f"{label}, trained" if training == "qat" else label
            (handles[name],) = ax.plot(
                part["bits"], part[column], dash, color=color, marker=marker, label=name
            )
        p_value = part["p_holm"].fillna(part["p_value"])
        for _, line in part[p_value < SIGNIFICANT].iterrows():
            top = max(line["score_cajq"], line["score_uniform"])
            ax.annotate(
                "*", (line["bits"], top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=12
            )
    handles["fp16"] = ax.axhline(cell["score_fp16"].mean(), linestyle=":", color=style.BLACK, linewidth=1.1)
    ax.set_xlabel("bits per parameter, uniform file")
    ax.set_xscale("log", base=2)
    ticks = [2, 3, 4, 6, 8]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_ylim(-0.03, 1.1)
    return handles
