"""How speed changes with the context on every tier: each arm against its own at the shortest context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

METRICS = {"prefill_tokens_per_second": "prefill", "decode_tokens_per_second": "decode"}
DASHES = ("-", "--", ":", "-.")


@figure("hardware_scaling", ("deploy",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Columns: prefill and decode; colour: tier. A flat line is a cost per token that ignores the context."""
    table = tables["deploy"].infer_objects()
    model = style.pick_model(table)
    table = table[(table["model"] == model) & table["metric"].isin(METRICS)].dropna(subset=["value"])
    fig = style.canvas(9.4, 3.9)
    axes = fig.subplots(1, 2, sharey=True)
    tiers = sorted(table["tier"].unique())
    handles: dict[str, Any] = {}
    for ax, (metric, word) in zip(axes, METRICS.items(), strict=True):
        here = table[table["metric"] == metric]
        if here.empty:
            style.empty_panel(ax, "no tier measured on this machine")
            continue
        handles |= _panel(ax, here, tiers)
        ax.set_title(word)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("speed / speed at the shortest context")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"Model {model}, batch 1; medians of n = {style.span_text(table['repeats'])} interleaved repeats; "
        "bars: interval of the median over the same denominator; one stored file (seed) per variant. "
        "Absolute speeds: deploy_throughput.",
    )
    return fig


def _panel(ax: Axes, here: pd.DataFrame, tiers: list[str]) -> dict[str, Any]:
    from matplotlib.lines import Line2D

    handles: dict[str, Any] = {
        tier: Line2D([], [], color="black", linestyle=DASHES[number % len(DASHES)])
        for number, tier in enumerate(tiers)
    }
    arms = list(dict.fromkeys(zip(here["variant"], here["backend"], strict=True)))
    arms.sort(key=lambda arm: (style.look_of(arm[0], style.VARIANTS).order, arm))
    ax.axhline(1.0, color="#777777", linewidth=0.9, linestyle=":")
    for number, tier in enumerate(tiers):
        for place, (variant, backend) in enumerate(arms):
            rows = here[(here["tier"] == tier) & (here["variant"] == variant) & (here["backend"] == backend)]
            rows = rows.sort_values("context")
            if rows.empty:
                continue
            first = float(rows["value"].iloc[0])
            look = style.look_of(variant, style.VARIANTS)
            dash = DASHES[number % len(DASHES)]
            fill = "white" if backend == "torch-bf16" else look.color
            # Arms are set apart by 2 % in x each, or their bars would cover one another.
            dodge = 1.02 ** (place - (len(arms) - 1) / 2)
            ax.errorbar(
                rows["context"] * dodge,
                rows["value"] / first,
                yerr=[(rows["value"] - rows["ci_low"]) / first, (rows["ci_high"] - rows["value"]) / first],
                color=look.color,
                marker=look.marker,
                linestyle=dash,
                markerfacecolor=fill,
                linewidth=1.1,
                elinewidth=0.7,
                capsize=1.5,
                alpha=0.9,
                label=f"{tier} {variant} {backend}",
            )
            name = f"{variant} · {backend}"
            handles[name] = Line2D([], [], color=look.color, marker=look.marker, linestyle="none", mfc=fill)
    style.length_axis(ax, here["context"], "context (tokens)")
    return handles
