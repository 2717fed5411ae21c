"""Memory of a stream against its context: activations, and what the stream carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.deploy_arms import MEGABYTE, USES, arms, label, look, of_one_model, tier_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

METRICS = {"activation_bytes": "activation peak (MB)", "state_bytes": "carried state (MB)"}


@figure("deploy_memory", ("deploy",), uses=USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Rows: activations and carried state. Columns: tiers."""
    table, model = of_one_model(tables["deploy"])
    table = table[table["metric"].isin(METRICS)]
    fig = style.canvas(3.9 * max(1, table["tier"].nunique()) + 2.8, 5.6)
    axes, tiers = tier_columns(fig, table, rows=2, sharex=True)
    handles: dict[str, Any] = {}
    for column, tier in enumerate(tiers):
        for row, (metric, words) in enumerate(METRICS.items()):
            ax, here = axes[row, column], table[(table["tier"] == tier) & (table["metric"] == metric)]
            if here.empty:
                style.empty_panel(ax)
                continue
            for variant, backend, arm in arms(here):
                arm = arm.sort_values("context")
                value, low, high = (arm[key] / MEGABYTE for key in ("value", "ci_low", "ci_high"))
                handles[label(variant, backend)] = ax.errorbar(
                    arm["context"],
                    value,
                    yerr=[value - low, high - value],
                    elinewidth=0.8,
                    capsize=1.5,
                    **look(variant, backend),
                )
            style.length_axis(ax, here["context"], "context (tokens)" if row else "")
            ax.set_ylim(bottom=0)
            axes[row, 0].set_ylabel(words)
        axes[0, column].set_title(tier)
    style.legend_right(fig, handles)
    if tiers:
        style.caption(
            fig,
            f"Model {model}, batch 1, one stream. Above: peak beyond the loaded model up to each context, "
            "read from a fresh process (RSS) or the allocator of the device. Below: arrays that the stream "
            "carries, its episodic memory included. "
            f"Medians of n = {style.span_text(table['repeats'])}, bars: interval; one stored file (seed) per "
            "variant.",
        )
    return fig
