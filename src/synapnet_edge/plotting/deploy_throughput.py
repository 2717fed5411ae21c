"""Tokens per second against context on every measured tier, the best float arm drawn strongest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.deploy_arms import DASHES
from synapnet_edge.reporting.aggregate import float_arms

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

METRICS = {"prefill_tokens_per_second": "prefill", "decode_tokens_per_second": "decode"}


@figure("deploy_throughput", ("deploy",), uses=("plotting.deploy_arms", "reporting.aggregate"))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Rows: prefill and decode. Columns: tiers that this machine has."""
    table = tables["deploy"]
    model = style.pick_model(table)
    table = table.infer_objects()  # a tier without rows leaves columns without a type
    table = table[(table["model"] == model) & table["metric"].isin(METRICS)].dropna(subset=["value"])
    tiers = sorted(table["tier"].unique())
    count = max(1, len(tiers))
    fig = style.canvas(3.9 * count + 2.8, 5.8)
    axes = fig.subplots(2, count, squeeze=False, sharex=True)
    if not tiers:
        for ax in axes[:, 0]:
            style.empty_panel(ax, "no tier measured on this machine")
        return fig
    handles: dict[str, Any] = {}
    for column, tier in enumerate(tiers):
        here = table[table["tier"] == tier]
        for row, (metric, word) in enumerate(METRICS.items()):
            handles |= _panel(axes[row, column], here[here["metric"] == metric])
            axes[row, 0].set_ylabel(f"{word} (tokens/s)")
        threads = style.span_text(here["threads"])
        axes[0, column].set_title(f"{tier} ({threads} thread{'s' if threads != '1' else ''})")
        axes[1, column].set_xlabel("context (tokens)")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"Model {model}, batch 1, medians of n = {style.span_text(table['repeats'])} interleaved repeats, "
        "bars: interval of the median; one stored file (seed) per variant.\n"
        "Thick: best float arm of the panel. torch-reference dequantises at load: no packed speed is shown.",
    )
    return fig


def _panel(ax: Axes, cells: pd.DataFrame) -> dict[str, Any]:
    from matplotlib.lines import Line2D

    handles: dict[str, Any] = {}
    best = best_float_arm(cells)
    for variant in style.ordered(cells["variant"], style.VARIANTS):
        for backend in sorted(cells.loc[cells["variant"] == variant, "backend"].unique()):
            arm = cells[(cells["variant"] == variant) & (cells["backend"] == backend)].sort_values("context")
            look = style.look_of(variant, style.VARIANTS)
            strong = (variant, backend) == best
            label = f"{variant} · {backend}"
            dash = DASHES.get(backend, "-")
            ax.errorbar(
                arm["context"],
                arm["value"],
                yerr=[arm["value"] - arm["ci_low"], arm["ci_high"] - arm["value"]],
                color=look.color,
                marker=look.marker,
                linestyle=dash,
                linewidth=3.0 if strong else 1.1,
                alpha=1.0 if strong else 0.8,
                elinewidth=0.8,
                capsize=1.5,
                zorder=4 if strong else 3,
                label=label,
            )
            # One legend serves all panels, and the strongest arm differs between them: plain handles.
            handles[label] = Line2D([], [], color=look.color, marker=look.marker, linestyle=dash)
    style.length_axis(ax, cells["context"], "")
    ax.set_ylim(bottom=0)
    return handles


def best_float_arm(cells: pd.DataFrame) -> tuple[str, str] | None:
    """The float (variant, backend) with the highest mean value of these cells."""
    floats = cells[float_arms(cells)]
    if floats.empty:
        return None
    return floats.groupby(["variant", "backend"])["value"].mean().idxmax()
