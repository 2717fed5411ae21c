"""Memory of a long stream over its tokens: bounded by the budget, or everything kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MEBIBYTE = 2**20


@figure("episodic_growth", ("eviction_growth",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Left: bytes of entries (solid) and of allocated arrays (dashed). Right: growth of the process."""
    table = tables["eviction_growth"]
    fig = style.canvas(9.4, 3.8)
    axes = fig.subplots(1, 2)
    if table.empty:
        for ax in axes:
            style.empty_panel(ax)
        return fig
    handles: dict[str, Any] = {}
    for index, (label, part) in enumerate(table.groupby("policy", sort=False)):
        part, color = part.sort_values("tokens"), style.SEEDS[index % len(style.SEEDS)]
        (handles[label],) = axes[0].plot(part["tokens"], part["bytes"] / MEBIBYTE, color=color)
        axes[0].plot(part["tokens"], part["resident_bytes"] / MEBIBYTE, "--", color=color, linewidth=1.0)
        grown = (part["rss_bytes"] - part["rss_bytes"].iloc[0]) / MEBIBYTE
        axes[1].plot(part["tokens"], grown, color=color)
        budget = part["budget_bytes"].iloc[0]
        if budget == budget:
            handles["budget"] = axes[0].axhline(
                budget / MEBIBYTE, color="black", linestyle=":", linewidth=1.2
            )
    axes[0].set_ylabel("episodic memory (MiB)")
    axes[1].set_ylabel("process memory since the first reading (MiB)")
    for ax in axes:
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
        ax.set_xlabel("tokens read")
        ax.xaxis.set_major_formatter(lambda value, _: style.short_count(int(value)) if value >= 1 else "0")
        ax.xaxis.set_major_locator(_binary_ticks(int(table["tokens"].max())))
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"One stream of {int(table['tokens'].max()):,} random tokens; solid: bytes of all entries with their "
        "bookkeeping; dashed: allocated arrays; right: resident set of the process; "
        f"n = {len(table)} readings, one trained seed.",
    )
    return fig


def _binary_ticks(last: int) -> Any:
    from matplotlib.ticker import MultipleLocator

    return MultipleLocator(max(1, 2 ** max(0, last.bit_length() - 3)))
