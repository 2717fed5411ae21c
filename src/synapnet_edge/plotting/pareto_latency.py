"""Accuracy against the time of one decoded token, one panel per tier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.tradeoff import USES, measured, name_points, points_of, quality, scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

METRIC = "decode_tokens_per_second"


@figure("pareto_latency", ("benchmark", "deploy"), uses=USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Milliseconds per token at the longest context that every arm of the tier was measured at."""
    deploy = tables["deploy"].infer_objects()
    model = style.pick_model(deploy)
    speed = deploy[(deploy["model"] == model) & (deploy["metric"] == METRIC)].dropna(subset=["value"])
    answered = quality(tables["benchmark"], model)
    tiers = sorted(speed["tier"].unique())
    fig = style.canvas(4.6 * max(1, len(tiers)) + 0.4, 4.0)
    axes = fig.subplots(1, max(1, len(tiers)), squeeze=False, sharey=True)[0]
    if not tiers:
        style.empty_panel(axes[0], "no tier measured on this machine")
    panels = []
    for ax, tier in zip(axes, tiers, strict=False):
        here = speed[speed["tier"] == tier]
        arms = here.groupby("context")[["variant", "backend"]].apply(lambda rows: len(rows.drop_duplicates()))
        context = int(arms[arms == arms.max()].index.max())
        costs = measured(here[here["context"] == context], lambda value: 1000 / value)
        panels.append((ax, points_of(costs, answered)))
        scatter(*panels[-1])
        ax.set_title(f"{tier}, context {style.short_count(context)}")
        ax.set_xlabel("time per decoded token (ms)")
    axes[0].set_ylabel("accuracy (share correct)")
    style.caption(
        fig,
        f"Model {model}, batch 1; medians of n = {style.span_text(speed['repeats'])} interleaved repeats "
        "with the interval of the median; one stored file (seed) per variant. The reference backend "
        f"dequantises at load: no packed speed. Grey: Pareto front. {answered.facts()}",
    )
    name_points(fig, panels)
    return fig
