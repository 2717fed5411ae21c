"""Every task against every length as one map: where the model answers and where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.aggregate import scores
from synapnet_edge.reporting.targets import SUITE, VARIANT

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MAP = "cividis"


@figure(
    "task_heatmap",
    ("benchmark",),
    uses=("reporting.aggregate", "reporting.targets", "evaluation.statistics"),
    suites=(SUITE,),
)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Colour and first line: mean over seeds; second line: 95 % interval; a star: not above the guess."""
    table = tables["benchmark"]
    table = table[(table["suite"] == SUITE) & (table["variant"] == VARIANT)].dropna(subset=["score"])
    model = style.pick_model(table)
    cells = scores(table[table["model"] == model])
    tasks = list(dict.fromkeys(cells["task"]))
    lengths = sorted({int(length) for length in cells["length"]})
    fig = style.canvas(0.95 * max(2, len(lengths)) + 3.2, 0.42 * max(2, len(tasks)) + 1.5)
    ax = fig.subplots()
    if not tasks:
        style.empty_panel(ax)
        return fig
    import numpy as np

    values = np.full((len(tasks), len(lengths)), np.nan)
    for cell in cells.itertuples():
        y, x = tasks.index(cell.task), lengths.index(int(cell.length))
        values[y, x] = cell.mean
        star = "*" if cell.ci_low <= cell.floor else ""
        color = "black" if cell.mean > 0.6 else "white"
        ax.text(x, y - 0.14, f"{cell.mean:.2f}{star}", ha="center", va="center", fontsize=8.5, color=color)
        spread = f"{cell.ci_low:.2f}–{cell.ci_high:.2f}"
        ax.text(x, y + 0.26, spread, ha="center", va="center", fontsize=6.5, color=color)
    image = ax.imshow(values, cmap=MAP, vmin=0, vmax=1, aspect="auto")
    style.separate_cells(ax, values.shape)
    ax.set_xticks(range(len(lengths)), [style.short_count(length) for length in lengths])
    ax.set_yticks(range(len(tasks)), tasks)
    ax.set_xlabel("length (tokens)")
    fig.colorbar(image, ax=ax, pad=0.01, aspect=30).set_label("accuracy (share correct)")
    style.caption(
        fig,
        f"Model {model}, {VARIANT}; {style.seeds_text(table['seed'])}, each trained from scratch; n = "
        f"{style.span_text(cells['n_total'])} rows per cell over all seeds; small: 95 % interval pooled over "
        "seeds. *: not above the best shortcut (chance where a shortcut solves the task).",
    )
    return fig
