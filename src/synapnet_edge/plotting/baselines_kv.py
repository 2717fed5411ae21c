"""Accuracy from the trained Llama's cache under a byte budget, one line per policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

LOOKS = {"window": style.POLICIES["streaming_llm"]}


@figure("baselines_kv", ("baseline_kv",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Left: policies that never saw the question; right: those that did."""
    table = tables["baseline_kv"]
    fig = style.canvas(9.6, 3.8)
    axes = fig.subplots(1, 2, sharey=True)
    handles: dict[str, Any] = {}
    for ax, aware, title in zip(axes, (False, True), ("Query-agnostic", "Query-aware"), strict=True):
        part = table[table["query_aware"].astype(bool) == aware]
        if part.empty:
            style.empty_panel(ax)
            continue
        names = style.ordered(part["policy"], style.POLICIES)
        for place, name in enumerate(names):
            drawn = LOOKS.get(name) or style.look_of(name, style.POLICIES)
            cells = part[part["policy"] == name]
            weighted = cells["accuracy"] * cells["n"]
            by_budget = weighted.groupby(cells["budget"]).sum() / cells.groupby("budget")["n"].sum()
            x = 100 * by_budget.index * 1.012 ** (place - (len(names) - 1) / 2)
            (handles[name],) = ax.plot(x, by_budget, drawn.dash, color=drawn.color, marker=drawn.marker)
        full = (part["accuracy_full"] * part["n"]).sum() / part["n"].sum()
        handles["full cache"] = ax.axhline(full, color="#777777", linestyle=":", linewidth=1.1)
        ax.set_title(title)
        ax.set_xlabel("bytes (% of the full cache)")
    axes[0].set_ylim(-0.03, 1.04)
    axes[0].set_ylabel("accuracy (share correct)")
    style.legend_right(fig, handles)
    if len(table):
        tasks = ", ".join(sorted(table["task"].unique()))
        cells = table.groupby(["policy", "query_aware", "budget"])["n"].sum()
        style.caption(
            fig,
            f"{tasks} at {style.span_text(table['length'])} tokens; early and late targets together; "
            f"n = {style.span_text(cells)} per point; {style.seeds_text(table['seed'])}. Positions and "
            "notes of a policy count as bytes.",
        )
    return fig
