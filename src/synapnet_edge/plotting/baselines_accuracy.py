"""Mean accuracy against length: the reference model and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import rivals as looks
from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting import rivals

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@figure("baselines_accuracy", ("baseline_benchmark", "baseline_ours"), uses=looks.USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One line per model and variant; bars: 95 % intervals pooled over seeds and tasks."""
    scored = rivals.cells(tables)
    means = rivals.means(scored)
    fig = style.canvas(8.4, 4.4)
    ax = fig.subplots()
    if means.empty:
        style.empty_panel(ax)
        return fig
    handles: dict[str, Any] = {}
    lines = list(means.groupby(["model", "variant"], sort=False))
    for place, ((model, variant), part) in enumerate(lines):
        part = part.sort_values("length")
        variants = list(means.loc[means["model"] == model, "variant"].unique())
        x = part["length"] * 1.025 ** (place - (len(lines) - 1) / 2)  # ties would hide one another
        spread = [part["mean"] - part["ci_low"], part["ci_high"] - part["mean"]]
        drawn = looks.look(model, variant, variants)
        width = 2.2 if part["ours"].all() else 1.3
        handles[drawn["label"]] = ax.errorbar(
            x, part["mean"], yerr=spread, elinewidth=0.7, linewidth=width, **drawn
        )
    tasks = sorted(scored["task"].unique())
    floor = scored.groupby("length")["floor"].mean()
    (handles["without binding"],) = ax.plot(floor.index, floor, ":", color="#777777", linewidth=1.1)
    style.length_axis(ax, means["length"], "sequence length (tokens)")
    ax.set_ylim(-0.03, 1.04)
    ax.set_ylabel("accuracy, mean of tasks")
    style.legend_right(fig, handles)
    style.caption(
        fig,
        f"Tasks measured at every length, of {', '.join(tasks)}; the same rows for all; "
        f"{style.seeds_text(_seeds(tables))}; n = {style.span_text(means['n_total'])} per task and length.",
    )
    return fig


def _seeds(tables: Tables) -> set[int]:
    return {
        int(seed)
        for kind in ("baseline_benchmark", "baseline_ours")
        for seed in tables[kind]["seed"].dropna()
    }
