"""Decoding without a pause: speed over time, and clock and temperature where the machine tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.deploy_arms import USES, arms, label, look, of_one_model, tier_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SPEED = "tokens_per_second"
SENSORS = {
    "frequency_mhz": "clock (MHz)",
    "temperature_celsius": "temperature (°C)",
    "power_watt": "power (W)",
}


@figure("deploy_sustained", ("deploy_trace",), uses=USES)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Rows: speed relative to the run's mean, and the sensors that were readable. Columns: tiers."""
    table, model = of_one_model(tables["deploy_trace"])
    table = table[table["series"].isin([SPEED, *SENSORS])]
    sensors = [name for name in SENSORS if name in set(table["series"])]
    fig = style.canvas(4.0 * max(1, table["tier"].nunique()) + 2.8, 2.3 + 1.9 * (1 + len(sensors)))
    axes, tiers = tier_columns(fig, table, rows=1 + len(sensors), sharex="col")
    handles: dict[str, Any] = {}
    for column, tier in enumerate(tiers):
        here = table[table["tier"] == tier]
        handles |= _speed(axes[0, column], here[here["series"] == SPEED])
        axes[0, column].set_title(tier)
        for row, name in enumerate(sensors, 1):
            rows = here[here["series"] == name]
            if rows.empty:
                style.empty_panel(axes[row, column], "not readable here")
            for variant, backend, arm in arms(rows):
                shown = look(variant, backend) | {"marker": ""}
                axes[row, column].plot(arm["seconds"], arm["value"], **shown)
            axes[row, 0].set_ylabel(SENSORS[name])
        axes[-1, column].set_xlabel("seconds of decoding")
    axes[0, 0].set_ylabel("tokens/s / mean" if tiers else "")
    style.legend_right(fig, handles)
    if tiers:
        readable = ", ".join(SENSORS[name] for name in sensors) or "no clock or temperature"
        style.caption(
            fig,
            f"Model {model}, batch 1, single-token decoding without a pause, one run per arm, one arm after "
            "the other (n = 1, one stored file (seed) per variant); each line relative to its own mean. "
            f"Readable on this machine: {readable}.",
        )
    return fig


def _speed(ax: Axes, rows: pd.DataFrame) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    if rows.empty:
        style.empty_panel(ax)
        return handles
    ax.axhline(1.0, color="#777777", linewidth=0.9, linestyle=":")
    for variant, backend, arm in arms(rows):
        arm = arm.sort_values("seconds")
        shown = look(variant, backend) | {"marker": ""}
        mean = arm["value"].mean()
        (handles[label(variant, backend)],) = ax.plot(arm["seconds"], arm["value"] / mean, **shown)
    ax.set_ylim(bottom=0)
    return handles
