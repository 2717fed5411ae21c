"""Bytes against context: what a stream carries, and that with the stored weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import rivals as looks
from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting import rivals

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MEGABYTE = 1e6
SOURCES = ("baseline_cost", "baseline_ledger", "baseline_our_ledger")


def _seeds(tables: Tables) -> str:
    return style.seeds_text(seed for kind in SOURCES[1:] for seed in tables[kind]["seed"].dropna())


@figure("baselines_bytes", SOURCES, uses=looks.USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Both axes logarithmic; weights: each model's smallest stored variant."""
    fig = style.canvas(9.6, 3.9)
    axes = fig.subplots(1, 2)
    cost = tables["baseline_cost"]
    if cost.empty:
        for ax in axes:
            style.empty_panel(ax)
        return fig
    state, weights = rivals.state_bytes(cost), rivals.weight_bytes(tables)
    handles: dict[str, Any] = {}
    for model, row in state.iterrows():
        row = row.dropna()
        drawn = looks.look(str(model), "", [""]) | {"label": str(model)}
        width = 2.2 if model == "reference" else 1.4
        (handles[str(model)],) = axes[0].plot(row.index, row / MEGABYTE, linewidth=width, **drawn)
        if model in weights.index.get_level_values(0):
            smallest = weights[model]
            variant = smallest.idxmin()
            axes[1].plot(row.index, (row + smallest.min()) / MEGABYTE, linewidth=width, **drawn)
            axes[1].annotate(
                variant,
                (row.index[0], (row.iloc[0] + smallest.min()) / MEGABYTE),
                xytext=(4, -9),
                textcoords="offset points",
                fontsize=7,
                color=drawn["color"],
            )
    for ax, title in zip(axes, ("Carried by a stream", "With the stored weights"), strict=True):
        style.length_axis(ax, state.columns, "tokens read")
        ax.set_yscale("log")
        ax.set_title(title)
    axes[0].set_ylabel("bytes (MB)")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        "Keys, values and memory in FP16, recurrent states in FP32, positions of memory entries in 4 bytes; "
        "weights: the smallest stored variant, named at its line. em_llm: keys and values alone, at least. "
        f"n = 1 stream: sizes do not depend on what is read; weights: mean over {_seeds(tables)}.",
    )
    return fig
