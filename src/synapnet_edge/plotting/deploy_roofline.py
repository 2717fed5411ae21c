"""Achieved products per second against products per byte, under what the machine can do at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.deploy_arms import USES, arms, label, of_one_model, tier_columns
from synapnet_edge.results_tree import MACHINE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PHASES = {"decode": "o", "prefill": "s"}
CEILINGS = {"float32": "-", "bfloat16": "--", "float16": "-.", "int8": ":"}


@figure("deploy_roofline", ("deploy",), uses=USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One panel per tier: round marks decode, square ones prefill; lines are measured limits."""
    table, model = of_one_model(tables["deploy"])
    wanted = ("macs_per_token", "bytes_per_token", "tokens_per_second")
    limits = table["variant"] == MACHINE
    table = table[limits | table["metric"].isin([f"{phase}_{name}" for phase in PHASES for name in wanted])]
    fig = style.canvas(4.3 * max(1, table["tier"].nunique()) + 2.9, 4.4)
    axes, tiers = tier_columns(fig, table)
    handles: dict[str, Any] = {}
    for ax, tier in zip(axes[0], tiers, strict=False):
        here = table[table["tier"] == tier]
        points = list(_points(here[here["variant"] != MACHINE]))
        if not points:
            style.empty_panel(ax)
            continue
        handles |= _marks(ax, points)
        handles |= _limits(ax, here[here["variant"] == MACHINE], [x for *_, x, _ in points])
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(tier)
        ax.set_xlabel("products per byte moved (MAC/B)")
    axes[0, 0].set_ylabel("products per second (MAC/s)" if tiers else "")
    style.legend_right(fig, handles)
    if tiers:
        style.caption(
            fig,
            f"Model {model}. Round: decode, square: prefill. Products are counted while the model runs; "
            "bytes are weights as held (token table left out) plus the carried state, read once per token or "
            "piece. Lines: memory and matrix products as measured in torch with the same threads. A mark "
            "above the sloping line works from caches, not from main memory. Speeds: medians of "
            f"n = {style.span_text(table['repeats'])}; one stored file (seed) per variant.",
        )
    return fig


def _points(table: pd.DataFrame):
    """(variant, backend, phase, MAC/B, MAC/s) of every arm whose three numbers were measured."""
    for variant, backend, arm in arms(table):
        for phase in PHASES:
            found = arm[arm["metric"].str.startswith(phase)]
            values = {name: part.sort_values("context")["value"] for name, part in found.groupby("metric")}
            keys = [f"{phase}_{name}" for name in ("macs_per_token", "bytes_per_token", "tokens_per_second")]
            if all(key in values for key in keys):
                macs, moved, speed = (float(values[key].iloc[0]) for key in keys)
                yield variant, backend, phase, macs / moved, macs * speed


def _marks(ax: Axes, points: list[tuple]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    inside = {"torch-bf16": "white", "torch-reference": "white", "torch-fp16": "#dddddd", "onnx": "#dddddd"}
    for variant, backend, phase, intensity, rate in points:
        color = style.look_of(variant, style.VARIANTS).color
        mark = ax.scatter(
            intensity,
            rate,
            s=58 if backend in ("fast", "onnx") else 34,
            marker=PHASES[phase],
            facecolor=inside.get(backend, color),
            edgecolor=color,
            linestyle=":" if backend == "torch-reference" else "-",
            linewidth=1.2,
            zorder=3,
        )
        handles.setdefault(label(variant, backend), mark)
    return handles


def _limits(ax: Axes, machine: pd.DataFrame, intensities: list[float]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    read = machine.loc[machine["metric"] == "limit_read_bytes_per_second", "value"]
    ceilings = machine[machine["metric"] == "limit_macs_per_second"].set_index("backend")["value"]
    if read.empty or ceilings.empty:
        return handles
    low, high = min(intensities) / 3, max([*intensities, ceilings.max() / read.iloc[0]]) * 3
    for name, dash in CEILINGS.items():
        if name in ceilings:
            knee = max(low, ceilings[name] / read.iloc[0])
            xs, ys = [low, knee, high], [low * read.iloc[0], ceilings[name], ceilings[name]]
            (handles[f"limit, {name}"],) = ax.plot(xs, ys, color="#777777", linestyle=dash, linewidth=1.1)
    return handles
