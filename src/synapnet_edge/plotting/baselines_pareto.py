"""Accuracy against total bytes and against decode speed, at one length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import rivals as looks
from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting import rivals

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MEGABYTE = 1e6
SOURCES = (
    *("baseline_benchmark", "baseline_ours", "baseline_cost"),
    *("baseline_ledger", "baseline_our_ledger"),
)
FILLS = ("full", "left", "none", "right")


@figure("baselines_pareto", SOURCES, uses=looks.USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Left: fewer bytes are further left; right: faster is further left. Upper left is better in both."""
    found = rivals.points(tables)
    fig = style.canvas(10.4, 4.2)
    axes = fig.subplots(1, 2, sharey=True)
    if found.empty:
        for ax in axes:
            style.empty_panel(ax)
        return fig
    long = found[found["length"] >= rivals.LONG]
    length = int((long if len(long) else found)["length"].max())
    part = found[found["length"] == length]
    handles = _panel(axes[0], part, part["total"] / MEGABYTE)
    _panel(axes[1], part, 1000 / part["speed"])
    axes[0].set_xscale("log")
    plain_ticks(axes[0])
    axes[0].set_xlabel("stored weights and carried state (MB, log)")
    axes[1].set_xlabel("time per decoded token (ms)")
    axes[0].set_ylabel("accuracy, mean of tasks")
    axes[0].set_title(f"Bytes, {style.short_count(length)} tokens")
    axes[1].set_title(f"Speed, {style.short_count(length)} tokens")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        "Ringed: variants of the reference model. Grey: no point is better in both directions. "
        f"Bars: pooled 95 % intervals, n = {style.span_text(part['n_total'])} per task; {_seeds(tables)}. "
        "Speed: PyTorch, float32, batch 1; stored low-bit weights are dequantised at load and change bytes "
        "only.",
    )
    return fig


def plain_ticks(ax: Axes) -> None:
    """Ticks at 1, 2 and 5 of every decade in plain digits: a narrow range would crowd powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _seeds(tables: Tables) -> str:
    kinds = ("baseline_benchmark", "baseline_ours")
    return style.seeds_text(seed for kind in kinds for seed in tables[kind]["seed"].dropna())


def _panel(ax: Axes, part: pd.DataFrame, x: pd.Series) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    for at, row in zip(x, part.itertuples(), strict=True):
        if at != at:
            continue
        variants = list(part.loc[part["model"] == row.model, "variant"])
        drawn = looks.look(row.model, row.variant, variants)
        fill = FILLS[variants.index(row.variant) % len(FILLS)]
        handles[drawn["label"]] = ax.errorbar(
            at,
            row.mean,
            yerr=[[row.mean - row.ci_low], [row.ci_high - row.mean]],
            fmt=drawn["marker"],
            color=drawn["color"],
            fillstyle=fill,
            markersize=7,
            elinewidth=0.7,
            linestyle="none",
            label=drawn["label"],
        )
        if row.ours:
            ax.plot(at, row.mean, "o", markersize=13, markerfacecolor="none", color=style.RED, zorder=2)
    looks.front(ax, [(at, row.mean) for at, row in zip(x, part.itertuples(), strict=True) if at == at])
    return handles
