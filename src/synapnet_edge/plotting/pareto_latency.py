"""Accuracy against the time of one decoded token, one panel per tier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.tradeoff import USES, name_points, quality, tier_panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

METRIC = "decode_tokens_per_second"


@figure("pareto_latency", ("benchmark", "deploy"), uses=USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Milliseconds per token at the longest context that every arm of the tier was measured at."""
    deploy = tables["deploy"].infer_objects()
    model = style.pick_model(deploy)
    speed = deploy[(deploy["model"] == model) & (deploy["metric"] == METRIC)].dropna(subset=["value"])
    answered = quality(tables["benchmark"], model)
    fig, panels = tier_panels(
        speed, answered, _common, lambda value: 1000 / value, "time per decoded token (ms)"
    )
    style.caption(
        fig,
        f"Model {model}, batch 1; medians of n = {style.span_text(speed['repeats'])} interleaved repeats "
        "with the interval of the median; one stored file (seed) per variant. The reference backend "
        f"dequantises at load: no packed speed. Grey: Pareto front. {answered.facts()}",
    )
    name_points(fig, panels)
    return fig


def _common(here: pd.DataFrame) -> int:
    """The longest context that most arms of a tier were measured at."""
    arms = here.groupby("context")[["variant", "backend"]].apply(lambda rows: len(rows.drop_duplicates()))
    return int(arms[arms == arms.max()].index.max())
