"""Accuracy against stored bytes and bits per parameter: what each variant pays for its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.tradeoff import USES, Point, name_points, quality, scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MEGABYTE = 1e6


@figure("storage_accuracy", ("benchmark", "ledger"), uses=USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Lower axis: megabytes of the packed payload; upper axis: the same as bits per parameter."""
    ledger = tables["ledger"]
    model = style.pick_model(ledger)
    ledger = ledger[ledger["model"] == model].dropna(subset=["bytes"])
    answered = quality(tables["benchmark"], model)
    per_seed = ledger.groupby(["variant", "seed"])[["bytes", "parameters"]].sum()
    stored = per_seed["bytes"].groupby(level="variant")
    fig = style.canvas(5.6, 4.0)
    ax = fig.subplots()
    points = [
        Point(
            variant,
            variant,
            tuple(float(f()) / MEGABYTE for f in (part.mean, part.min, part.max)),
            answered.of[variant],
        )
        for variant, part in stored
        if variant in answered.of
    ]
    scatter(ax, points)
    if points:
        parameters = float(per_seed["parameters"].mean())
        to_bits, to_megabytes = 8 * MEGABYTE / parameters, parameters / (8 * MEGABYTE)
        bits = ax.secondary_xaxis("top", functions=(lambda m: m * to_bits, lambda b: b * to_megabytes))
        bits.set_xlabel("stored bits per parameter, scales included")
        _plain_ticks(bits)
    ax.set_xlabel("stored size (MB = $10^6$ bytes)")
    ax.set_ylabel("accuracy (share correct)")
    style.caption(fig, f"Model {model}; grey: Pareto front. {answered.facts()}")
    name_points(fig, [(ax, points)])
    return fig


def _plain_ticks(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.xaxis.set_major_locator(LogLocator(base=2))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
