"""Accuracy against the memory of the running process, one panel per tier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.tradeoff import USES, name_points, quality, tier_panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

METRIC = "steady_rss_bytes"
BASELINE = "baseline_rss_bytes"  # a fresh interpreter with the backend imported
MEGABYTE = 1e6


@figure("pareto_memory", ("benchmark", "deploy"), uses=USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Resident memory at the end of a stream, less that of the interpreter before a model was loaded."""
    deploy = tables["deploy"].infer_objects()
    model = style.pick_model(deploy)
    deploy = deploy[deploy["model"] == model].dropna(subset=["value"])
    held = own_memory(deploy)
    answered = quality(tables["benchmark"], model)
    fig, panels = tier_panels(
        held,
        answered,
        lambda here: int(here["context"].max()),
        lambda value: value / MEGABYTE,
        "process memory above the interpreter's (MB)",
        logarithmic=False,
    )
    repeats = deploy.loc[deploy["metric"] == METRIC, "repeats"]
    style.caption(
        fig,
        f"Model {model}; resident set at the end of a stream less that of an interpreter without a model, "
        f"medians of n = {style.span_text(repeats)} fresh processes with the interval of the median. The "
        f"reference backend holds dequantised weights. Grey: Pareto front. {answered.facts()}",
    )
    name_points(fig, panels)
    return fig


def own_memory(deploy: pd.DataFrame) -> pd.DataFrame:
    """Rows of `METRIC` with the baseline of their arm taken off value and interval."""
    keys = ["tier", "variant", "backend"]
    before = deploy[deploy["metric"] == BASELINE].set_index(keys)["value"]
    held = deploy[deploy["metric"] == METRIC].copy()
    base = held.set_index(keys).index.map(before.to_dict()).to_numpy(dtype=float)
    for column in ("value", "ci_low", "ci_high"):
        held[column] = held[column].to_numpy(dtype=float) - base
    return held.dropna(subset=["value"])
