"""Validation accuracy against what training has cost so far, one line per task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.targets import CORE_MINUTES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas


@figure("training_cost", ("probe",), uses=("reporting.targets",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One panel per model and probed length; band: lowest to highest seed."""
    table = tables["probe"].dropna(subset=["score"])
    panels = sorted(set(zip(table["model"], table["length"], strict=True)))
    count = max(1, len(panels))
    fig = style.canvas(6.0 * count + 2.6, 4.4)
    axes = fig.subplots(1, count, squeeze=False, sharey=True)[0]
    axes[0].set_ylabel("validation accuracy (share correct)")
    if not panels:
        style.empty_panel(axes[0])
        axes[0].set_xlabel("training cost (core-minutes)")
        style.legend_right(fig, {})
        style.caption(fig, "n = 0; no seed was probed while training.")
        return fig
    handles: dict[str, Any] = {}
    tasks = list(dict.fromkeys(table["task"]))
    for ax, (model, length) in zip(axes, panels, strict=True):
        part = table[(table["model"] == model) & (table["length"] == length)]
        handles |= _panel(ax, part, tasks)
        ax.set_title(f"model {model}, {int(length)} tokens")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"n = {style.span_text(table['n'])} validation rows per point; {style.seeds_text(table['seed'])}; "
        "line: mean over trained seeds, band: lowest to highest. Core-minutes: time of training x threads, "
        "without the probes themselves.",
    )
    return fig


def _panel(ax: Axes, part: pd.DataFrame, tasks: list[str]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    for position, task in enumerate(tasks):
        at = part[part["task"] == task].groupby("step")
        if not len(at):
            continue
        minutes, scores = at["core_seconds"].mean() / 60, at["score"].agg(["mean", "min", "max"])
        color, marker = style.SEEDS[position % len(style.SEEDS)], "os^Dv*P"[position % 7]
        (handles[task],) = ax.plot(minutes, scores["mean"], color=color, marker=marker, label=task)
        ax.fill_between(minutes, scores["min"], scores["max"], color=color, alpha=0.15, linewidth=0)
    chance = part["chance"].mean()
    handles["chance"] = ax.axhline(chance, color="#777777", linestyle=":", linewidth=1.1)
    label = f"goal: {CORE_MINUTES:g} core-minutes"
    handles[label] = ax.axvline(CORE_MINUTES, color="#777777", linestyle="--", linewidth=1.1)
    ax.set_xlim(left=0)
    ax.set_ylim(-0.03, 1.04)
    ax.set_xlabel("training cost (core-minutes)")
    return handles
