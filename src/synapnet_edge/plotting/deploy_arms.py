"""What the deployment figures share: how an arm (variant on a backend) is drawn, and which arms there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style

if TYPE_CHECKING:
    import pandas as pd

USES = ("plotting.deploy_arms",)
DASHES = {
    "torch-fp32": "-",
    "torch-bf16": "--",
    "torch-fp16": "-.",
    "torch-reference": ":",
    "onnx": (0, (6, 1.5)),
    "fast": (0, (1, 0.6)),
}
# Packed arms are drawn wider: they are what the figures are about.
WIDTHS = {"fast": 2.6, "onnx": 2.0}
MEGABYTE = 1e6


def arms(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(variant, backend, rows) of every arm in the fixed order of variants."""
    for variant in style.ordered(table["variant"], style.VARIANTS):
        mine = table[table["variant"] == variant]
        order = [backend for backend in DASHES if backend in set(mine["backend"])]
        for backend in [*order, *sorted(set(mine["backend"]) - set(order))]:
            yield variant, backend, mine[mine["backend"] == backend]


def look(variant: str, backend: str) -> dict[str, Any]:
    """Keyword arguments of a line of one arm: colour and marker of the variant, dash of the backend."""
    found = style.look_of(variant, style.VARIANTS)
    return {
        "color": found.color,
        "marker": found.marker,
        "linestyle": DASHES.get(backend, "-"),
        "linewidth": WIDTHS.get(backend, 1.2),
    }


def label(variant: str, backend: str) -> str:
    return f"{variant} · {backend}"


def of_one_model(table: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
    """The rows of the model that a figure of one model shows, with values, and its name."""
    table = table.infer_objects()  # a tier without rows leaves columns without a type
    model = style.pick_model(table)
    return table[table["model"] == model].dropna(subset=["value"]), model


def tier_columns(fig: Any, table: pd.DataFrame, rows: int = 1, **more: Any) -> tuple[Any, list[str]]:
    """Axes [rows, tiers] of a figure with a column per measured tier, and the tiers."""
    tiers = sorted(table["tier"].unique())
    axes = fig.subplots(rows, max(1, len(tiers)), squeeze=False, **more)
    if not tiers:
        for ax in axes[:, 0]:
            style.empty_panel(ax, "no tier measured on this machine")
    return axes, tiers
