"""Memory of a process over its life: loading, streaming, decoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.deploy_arms import MEGABYTE, USES, arms, label, look, of_one_model, tier_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@figure("deploy_rss", ("deploy_trace",), uses=USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One panel per tier; one line per arm: the first fresh process."""
    table, model = of_one_model(tables["deploy_trace"])
    table = table[table["series"] == "rss"]
    fig = style.canvas(4.2 * max(1, table["tier"].nunique()) + 2.8, 3.9)
    axes, tiers = tier_columns(fig, table, sharey=True)
    handles: dict[str, Any] = {}
    for ax, tier in zip(axes[0], tiers, strict=False):
        for variant, backend, arm in arms(table[table["tier"] == tier]):
            arm = arm.sort_values("seconds")
            shown = look(variant, backend) | {"marker": ""}
            (handles[label(variant, backend)],) = ax.plot(arm["seconds"], arm["value"] / MEGABYTE, **shown)
        ax.set_title(tier)
        ax.set_xlabel("seconds since the interpreter began to load the model")
        ax.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("process memory, RSS (MB)" if tiers else "")
    style.legend_right(fig, handles)
    if tiers:
        style.caption(
            fig,
            f"Model {model}; one fresh process per arm, read every 20 ms while it loads the model, streams "
            "to its longest context and decodes; n = 1 process, one stored file (seed) per variant. The "
            "interpreter and the imported libraries are part of it.",
        )
    return fig
