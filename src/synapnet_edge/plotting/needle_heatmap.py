"""Depth x length maps of the NeedleBench suite: where in the input a needle is still found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.suites import short_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SUITE = "needlebench"
SHOWN = ("fp16", "cajq_qat")  # a row of maps each; else the first variant there is
DEPTHS = 11  # 0, 10, ..., 100 %
MAP = "cividis"


@figure("needle_heatmap", ("rows",), uses=("plotting.suites", "evaluation.statistics"), suites=(SUITE,))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Score pooled over trained seeds, colour; number of scored answers, small print in each cell."""
    table = tables["rows"]
    table = per_depth(table[table["suite"] == SUITE])
    model = style.pick_model(table)
    table = table[table["model"] == model]
    present = style.ordered(table["variant"], style.VARIANTS)
    variants = [variant for variant in SHOWN if variant in present] or present[:1]
    table = table[table["variant"].isin(variants)]
    tasks = list(dict.fromkeys(table["task"]))
    fig = style.canvas(1.85 * max(1, len(tasks)) + 1.7, 2.75 * max(1, len(variants)) + 0.8)
    axes = fig.subplots(max(1, len(variants)), max(1, len(tasks)), squeeze=False)
    if not tasks:
        style.empty_panel(axes[0, 0])
        return fig
    cells = table.groupby(["variant", "task", "length", "bin"])["score"].agg(["mean", "count"]).reset_index()
    for y, variant in enumerate(variants):
        for x, task in enumerate(tasks):
            image = _panel(axes[y, x], cells, variant, task)
            axes[y, x].set_title(f"{short_name(task)}\n{variant}", fontsize=9)
            if x:
                axes[y, x].set_yticklabels([])
        axes[y, 0].set_ylabel("depth (%)")
    for ax in axes[-1]:
        ax.set_xlabel("length (tokens)")
    fig.colorbar(image, ax=axes, pad=0.01, aspect=40).set_label("score (share)")
    style.caption(fig, _facts(table, cells, model))
    return fig


def per_depth(table: pd.DataFrame) -> pd.DataFrame:
    """Scored answers whose place in the input is known, with `bin`: the nearest of the 11 depths.

    Rows that ask for needles at several depths carry one line per answer, of the metric `readout_accuracy`;
    other tasks have one answer per row.
    """
    answers = table["metric"] == "readout_accuracy"
    several = table["task"].isin(table.loc[answers, "task"].unique())
    chosen = table[answers | (~several & (table["metric"] == "accuracy"))].dropna(subset=["depth", "score"])
    return chosen.assign(bin=(chosen["depth"] * (DEPTHS - 1)).round().astype(int))


def _facts(table: pd.DataFrame, cells: pd.DataFrame, model: str | None) -> str:
    # Imported when drawing: the package behind it loads torch, which no other figure needs.
    from synapnet_edge.evaluation.statistics import wilson_interval

    fewest, most = int(cells["count"].min()), int(cells["count"].max())
    low, high = wilson_interval(fewest // 2, fewest)
    return (
        f"Model {model}; {style.seeds_text(table['seed'])}, each trained from scratch. In each cell: n = "
        f"{style.span_text([fewest, most])} answers over all seeds; its 95 % interval is at most "
        f"{high - low:.2f} wide. Depth: where the needle stands, of several the first one needed; 0 % is the "
        "start of the input. White: no such answer."
    )


def _panel(ax: Axes, cells: pd.DataFrame, variant: str, task: str) -> Any:
    """Draw one map; returns the image for the colour bar."""
    import numpy as np

    cells = cells[cells["task"] == task]
    lengths = sorted(cells["length"].unique())
    values = np.full((DEPTHS, len(lengths)), np.nan)
    for row in cells[cells["variant"] == variant].to_dict("records"):
        x, y = lengths.index(row["length"]), row["bin"]
        values[y, x] = row["mean"]
        color = "white" if row["mean"] < 0.5 else "black"
        ax.text(x, y, str(row["count"]), ha="center", va="center", fontsize=4.5, color=color)
    image = ax.imshow(values, cmap=MAP, vmin=0, vmax=1, aspect="auto")
    ax.set_yticks(range(0, DEPTHS, 2), [str(10 * depth) for depth in range(0, DEPTHS, 2)])
    ax.set_xticks(range(len(lengths)), [style.short_count(int(length)) for length in lengths], fontsize=7.5)
    ax.tick_params(axis="x", labelrotation=45, length=0)
    style.separate_cells(ax, values.shape)
    return image
