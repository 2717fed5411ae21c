"""Training accuracy and loss against step, one line per seed, the length curriculum shaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SMOOTH_ABOVE = 60  # rows per seed from which a running mean is drawn over the raw line


@figure("training_curves", ("history",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One column per model, accuracy above loss."""
    table = tables["history"]
    models = sorted(table["model"].dropna().unique())
    fig = style.canvas(6.2 * max(1, len(models)) + 1.2, 5.6)
    axes = fig.subplots(2, max(1, len(models)), squeeze=False, sharex="col")
    if not models:
        for ax in axes[:, 0]:
            style.empty_panel(ax)
        return fig
    handles: dict[str, Any] = {}
    for column, model in enumerate(models):
        runs = table[table["model"] == model].sort_values(["seed", "step"])
        for ax, quantity in zip(axes[:, column], ("accuracy", "loss"), strict=True):
            handles |= _panel(ax, runs, quantity)
            first = runs[runs["seed"] == runs["seed"].min()]
            _shade_stages(ax, first, with_text=quantity == "accuracy")
        axes[0, column].set_ylim(-0.02, 1.03)
        axes[0, column].set_title(f"model {model}", pad=24)
        axes[1, column].set_xlabel("training step")
    axes[0, 0].set_ylabel("training accuracy (share correct)")
    axes[1, 0].set_ylabel("training loss (nats per answer)")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"{style.seeds_text(table['seed'])}, each trained from scratch; n = 1 run per line; shading: stage "
        "of the curriculum, with its sequence length in tokens.",
    )
    return fig


def _panel(ax: Axes, runs: pd.DataFrame, quantity: str) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    for position, (seed, run) in enumerate(runs.groupby("seed")):
        color = style.SEEDS[position % len(style.SEEDS)]
        values = run.dropna(subset=[quantity])
        smooth = len(values) > SMOOTH_ABOVE
        if smooth:
            ax.plot(values["step"], values[quantity], color=color, alpha=0.22, linewidth=0.8)
            width = max(5, len(values) // 40)
            shown = values[quantity].rolling(width, center=True, min_periods=1).mean()
        else:
            shown = values[quantity]
        label = f"seed {seed}"
        marker = "o" if len(values) < 3 else ""
        (handles[label],) = ax.plot(values["step"], shown, color=color, marker=marker, label=label)
    return handles


def _shade_stages(ax: Axes, run: pd.DataFrame, with_text: bool) -> None:
    """Alternate light bands over the stages of one run; the length stands above its band."""
    changed = (run["stage"] != run["stage"].shift()).cumsum()
    spans = [
        (part["step"].iloc[0], part["step"].iloc[-1], part["length"]) for _, part in run.groupby(changed)
    ]
    last = run["step"].max()
    total = max(1.0, float(last - run["step"].min()))
    label_end = -1.0
    for position, (start, _, length) in enumerate(spans):
        end = spans[position + 1][0] if position + 1 < len(spans) else last
        if position % 2:
            ax.axvspan(start, end, color="#000000", alpha=0.05, linewidth=0)
        middle = 0.5 * (start + end)
        if with_text and (middle - label_end) / total > 0.06:  # neighbours closer than that would touch
            text = _length_text(length)
            ax.annotate(
                text,
                (middle, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color="#444444",
            )
            label_end = middle


def _length_text(lengths: pd.Series) -> str:
    low, high = int(lengths.min()), int(lengths.max())
    if low == high:
        return style.short_count(low)
    return f"{style.short_count(low)}-{style.short_count(high)}"
