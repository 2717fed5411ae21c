"""What each component loses at each bit width: bars of the divergence of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

# From few to many bits: dark means low.
SHADES = (
    *("#08306b", "#0b4d94", "#2171b5", "#4292c6", "#5fa6d1"),
    *("#6baed6", "#85bcdc", "#9ecae1", "#c6dbef", "#dbe9f6"),
)
FLOOR = 1e-7  # nats; smaller ones are drawn there


@figure("sensitivity", ("sensitivity",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One group of bars per component; whiskers from the lowest to the highest trained seed."""
    table = tables["sensitivity"]
    model = style.pick_model(table)
    table = table[(table["model"] == model) & (table["option"] != "fp16")]
    fig = style.canvas(9.2, 3.6)
    ax = fig.subplots()
    if table.empty:
        style.empty_panel(ax)
        return fig
    components = list(dict.fromkeys(table["component"]))
    options = table.groupby("option")["bits"].mean().sort_values().index.tolist()
    width = 0.84 / len(options)
    handles: dict[str, Any] = {}
    for place, option in enumerate(options):
        seeds = table[table["option"] == option].groupby("component")["divergence"]
        spread = (seeds.mean(), seeds.min(), seeds.max())
        middle, low, high = (values.reindex(components).clip(lower=FLOOR) for values in spread)
        at = [index + (place - (len(options) - 1) / 2) * width for index in range(len(components))]
        shade = SHADES[round(place * (len(SHADES) - 1) / max(1, len(options) - 1))]
        bar = {"bottom": FLOOR / 2, "color": shade, "label": option}
        handles[option] = ax.bar(at, middle - FLOOR / 2, width * 0.92, **bar)
        ax.errorbar(at, middle, [middle - low, high - middle], fmt="none", ecolor="#555555", elinewidth=0.8)
    ax.set_yscale("log")
    ax.set_xticks(range(len(components)), components)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("divergence from FP16 (nats per answer)")
    ax.set_title(f"model {model}")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        "One component quantised at a time without training, the others float; "
        f"{style.seeds_text(table['seed'])}, n = {style.span_text(table['questions'])} calibration "
        "questions; bar: mean over trained seeds, whisker: lowest to highest. "
        f"Drawn at {FLOOR:.0e} where below.",
    )
    return fig
