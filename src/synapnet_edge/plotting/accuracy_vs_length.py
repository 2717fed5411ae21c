"""Accuracy of every variant against sequence length, one panel per headline task."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.forerunner import published_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

HEADLINE = (
    "reference/niah_single",
    "reference/niah_multi_key",
    "reference/variable_track",
    "reference/fa",
    "ruler/niah_multikey_1",
)
DODGE = 1.04  # neighbouring variants are set apart by 4 % in x, or ties at 1.0 would hide each other


@figure("accuracy_vs_length", ("benchmark",), uses=("reporting.forerunner",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Mean over training seeds with a band from the lowest to the highest seed."""
    table = tables["benchmark"]
    model = style.pick_model(table)
    table = table[table["model"] == model].dropna(subset=["score"])
    present = set(table["task"])
    panels = [task for task in HEADLINE if task in present] or sorted(present)[:6]
    columns = min(3, max(1, len(panels)))
    rows = max(1, ceil(len(panels) / columns))
    fig = style.canvas(3.0 * columns + 2.4, 2.75 * rows + 0.5)
    axes = fig.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    handles: dict[str, Any] = {}
    for ax, task in zip(axes, panels, strict=False):
        handles |= _panel(ax, table[table["task"] == task], task)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    if not panels:
        style.empty_panel(axes[0])
        return fig
    for row in range(rows):
        axes[row * columns].set_ylabel("accuracy (share correct)")
    style.legend_right(fig, handles)
    drawn = table[table["task"].isin(panels)]
    style.caption(
        fig,
        f"Model {model}; n = {style.span_text(drawn['n'])} per point and seed; "
        f"{style.seeds_text(table['seed'])}; line: mean over trained seeds, band: lowest to highest seed.",
    )
    return fig


def _panel(ax: Axes, cells: pd.DataFrame, task: str) -> dict[str, Any]:
    """Draw one task; returns label -> artist for the common legend."""
    handles: dict[str, Any] = {}
    variants = style.ordered(cells["variant"], style.VARIANTS)
    for position, variant in enumerate(variants):
        look = style.look_of(variant, style.VARIANTS)
        by_length = cells[cells["variant"] == variant].groupby("length")["score"].agg(["mean", "min", "max"])
        x = by_length.index.to_numpy(dtype=float) * DODGE ** (position - (len(variants) - 1) / 2)
        (handles[variant],) = ax.plot(
            x, by_length["mean"], look.dash, color=look.color, marker=look.marker, label=variant
        )
        ax.fill_between(x, by_length["min"], by_length["max"], color=look.color, alpha=0.13, linewidth=0)
    levels = cells.groupby("length")[["chance", "guess"]].mean()
    for level, dash in (("guess", "--"), ("chance", ":")):
        label = "best shortcut" if level == "guess" else "chance"
        (handles[label],) = ax.plot(
            levels.index, levels[level], dash, color="#777777", linewidth=1.1, label=label
        )
    handles |= _published(ax, task)
    known = [row.length for row in published_rows(task)]
    style.length_axis(ax, [*cells["length"], *known], "sequence length (tokens)")
    ax.set_ylim(-0.03, 1.04)
    ax.set_title(task)
    return handles


def _published(ax: Axes, task: str) -> dict[str, Any]:
    """The forerunner's numbers: hollow markers without a line, another model on another machine."""
    handles: dict[str, Any] = {}
    for variant in ("fp16", "cajq_qat"):
        points = [row for row in published_rows(task) if row.variant == variant]
        if points:
            label = f"published: forerunner {variant}"
            handles[label] = ax.errorbar(
                [row.length for row in points],
                [row.mean for row in points],
                yerr=[row.std or 0.0 for row in points],
                fmt="o" if variant == "fp16" else "D",
                markerfacecolor="white",
                color=style.look_of(variant, style.VARIANTS).color,
                markersize=6,
                capsize=2,
                linewidth=1,
                label=label,
            )
    return handles
