"""The longest length at which each variant still does each task, as a table in colour."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.suites import SUITES, USES, in_order, pooled_cells, short_name
from synapnet_edge.reporting.effective_length import THRESHOLD, effective_lengths

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MAP = "cividis"
DARK = 0.55  # up to this share of the colour range the map is dark and text on it white


@figure("effective_length", ("benchmark",), uses=USES, suites=SUITES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One panel per suite: rows = tasks, columns = variants; in brackets by the interval's lower bound."""
    cells = pooled_cells(tables["benchmark"])
    table = effective_lengths(cells.table)
    suites = cells.suites
    tasks = {suite: in_order(table.loc[table["suite"] == suite, "task"]) for suite in suites}
    rows = max((len(names) for names in tasks.values()), default=3)
    count = max(1, len(suites))
    fig = style.canvas(count * (1.7 + 0.72 * max(1, len(cells.variants))) + 1.2, 0.3 * rows + 2.0)
    axes = fig.subplots(1, count, squeeze=False).ravel()
    if not suites:
        style.empty_panel(axes[0])
        return fig
    span = (log2(table["shortest"].min()) - 1, log2(table["longest"].max()))
    for ax, suite in zip(axes, suites, strict=True):
        image = _panel(ax, table[table["suite"] == suite], tasks[suite], cells.variants, span, rows)
        ax.set_title(suite)
    ticks = [2**power for power in range(round(span[0]) + 1, round(span[1]) + 1)]
    bar = fig.colorbar(image, ax=list(axes), ticks=[log2(tick) for tick in ticks], pad=0.01)
    bar.ax.set_yticklabels([style.short_count(tick) for tick in ticks])
    bar.set_label("effective length (tokens)")
    style.caption(
        fig,
        f"{cells.facts()}. Longest measured length up to which the mean stays at or above {THRESHOLD} at "
        "every length; in brackets: up to which the lower bound of its pooled 95 % interval does. ≥: the "
        "longest measured length. <: below it at the shortest. *: the best shortcut reaches it too.",
    )
    return fig


def _panel(
    ax: Axes,
    part: pd.DataFrame,
    tasks: list[str],
    variants: list[str],
    span: tuple[float, float],
    rows: int,
) -> Any:
    """Draw one suite; returns the image for the colour bar."""
    import numpy as np

    values = np.full((len(tasks), len(variants)), np.nan)
    for row in part.itertuples():
        y, x = tasks.index(row.task), variants.index(row.variant)
        # Below the shortest length: one step under it, so that it has the darkest colour of the suite.
        values[y, x] = log2(row.effective) if row.effective else max(span[0], log2(row.shortest) - 1)
        dark = (values[y, x] - span[0]) / max(span[1] - span[0], 1e-9) <= DARK
        words = f"{_words(row.effective, row)} ({_words(row.effective_low, row)})"
        ax.text(x, y, words, ha="center", va="center", fontsize=6, color="white" if dark else "black")
    image = ax.imshow(values, cmap=MAP, vmin=span[0], vmax=span[1], aspect="auto")
    solved = set(part.loc[part["guess"] >= THRESHOLD, "task"])
    names = [short_name(task) + (" *" if task in solved else "") for task in tasks]
    ax.set_yticks(range(len(tasks)), names, fontsize=8)
    ax.set_xticks(range(len(variants)), variants, rotation=35, ha="right", fontsize=8)
    ax.tick_params(length=0)
    ax.set_ylim(rows - 0.5, -0.5)
    style.separate_cells(ax, values.shape)
    for side in ax.spines.values():
        side.set_visible(False)
    return image


def _words(length: int, row: Any) -> str:
    """The words of the report, lengths in short."""
    if length < row.shortest:
        return f"<{style.short_count(row.shortest)}"
    return f"{'≥' if length == row.longest else ''}{style.short_count(length)}"
