"""Stored bytes of every variant, stacked by component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

MEGABYTE = 1e6


@figure("size_ledger", ("ledger",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One bar per variant; its end carries megabytes, mean bits per parameter and the ratio to fp16."""
    ledger = tables["ledger"]
    model = style.pick_model(ledger)
    ledger = ledger[ledger["model"] == model].dropna(subset=["bytes"])
    variants = style.ordered(ledger["variant"], style.VARIANTS)
    fig = style.canvas(8.6, 0.5 * max(2, len(variants)) + 1.7)
    ax = fig.subplots()
    if not variants:
        style.empty_panel(ax)
        return fig
    sizes = _component_bytes(ledger, variants)
    left = [0.0] * len(variants)
    handles: dict[str, Any] = {}
    for component in sizes.columns:
        widths = (sizes[component] / MEGABYTE).tolist()
        color = style.COMPONENTS.get(component, style.GREY)
        handles[_label(component, sizes)] = ax.barh(
            variants,
            widths,
            left=left,
            color=color,
            height=0.68,
            edgecolor="white",
            linewidth=0.7,
            label=component,
        )
        left = [start + width for start, width in zip(left, widths, strict=True)]
    _annotate(ax, ledger, variants, left)
    ax.invert_yaxis()
    ax.set_xlim(0, max(left) * 1.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("stored size (MB = $10^6$ bytes)")
    ax.set_title(f"model {model}")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"Packed payload of the stored file, mean over {style.seeds_text(ledger['seed'])}; "
        "n = 1 file per seed and variant.",
    )
    return fig


def _component_bytes(ledger: pd.DataFrame, variants: list[str]) -> pd.DataFrame:
    """Mean over seeds of the summed bytes: rows = variants, columns = components in fixed order."""
    summed = ledger.groupby(["variant", "seed", "component"])["bytes"].sum()
    table = summed.groupby(level=["variant", "component"]).mean().unstack(fill_value=0.0).loc[variants]
    known = [name for name in style.COMPONENTS if name in table.columns]
    return table[known + sorted(set(table.columns) - set(known))]


def _label(component: str, sizes: pd.DataFrame) -> str:
    """Legend text; says so when a component is too small to be seen in any bar."""
    largest = (sizes[component] / sizes.sum(axis=1)).max()
    return f"{component} (below 0.5 %)" if largest < 0.005 else component


def _annotate(ax, ledger: pd.DataFrame, variants: list[str], ends: list[float]) -> None:
    per_seed = ledger.groupby(["variant", "seed"])[["bytes", "parameters"]].sum()
    mean = per_seed.groupby(level="variant").mean()
    plain = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # keeps grid lines out of the text
    for position, (variant, end) in enumerate(zip(variants, ends, strict=True)):
        total, parameters = mean.loc[variant, "bytes"], mean.loc[variant, "parameters"]
        text = f"{total / MEGABYTE:.2f} MB · {8 * total / parameters:.2f} bits"
        if "fp16" in mean.index:
            text += f" · {mean.loc['fp16', 'bytes'] / total:.2f}x"
        offset = {"xytext": (5, 0), "textcoords": "offset points"}
        ax.annotate(text, (end, position), va="center", fontsize=9, bbox=plain, **offset)
