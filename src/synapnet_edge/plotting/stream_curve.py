"""The long stream: speed, process memory and answers against tokens read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.reporting.stream import RSS_GOAL, SPEED_GOAL, at_end

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MEGABYTE = 1e6
SETTLED = 65536  # tokens; where the configuration does not say


@figure("stream_curve", ("stream", "stream_trace"), uses=("reporting.stream",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """One line per trained seed; answers: one mark per depth and checkpoint, all seeds together."""
    answers, trace = tables["stream"], tables["stream_trace"]
    model = style.pick_model(trace)
    answers, trace = answers[answers["model"] == model], trace[trace["model"] == model]
    fig = style.canvas(11.6, 3.5)
    axes = fig.subplots(1, 3)
    if model is None:
        for ax in axes:
            style.empty_panel(ax)
        return fig
    settled = config.get("stream", {}).get("settled", SETTLED)
    handles = _speed(axes[0], trace, settled)
    _memory(axes[1], trace, settled)
    handles |= _answers(axes[2], answers)
    style.legend_right(fig, handles)
    end = at_end(answers)
    budget = trace["budget_bytes"].max() / 2**20
    style.caption(
        fig,
        f"Model {model}, {', '.join(sorted(set(trace['variant'])))}; reference/niah_single construction; "
        f"memory budget {budget:.3g} MiB per stream; {end['depth'].nunique()} streams as one batch; "
        f"{style.seeds_text(trace['seed'])}; n = {len(end)} answers at the end, "
        f"{int(end['correct'].sum())} correct. Grey bands: {SPEED_GOAL:.0%} around the speed and "
        f"{RSS_GOAL:.0%} above the lowest memory, both after {style.short_count(settled)} tokens.",
    )
    return fig


def _runs(trace: pd.DataFrame):
    """(label, color, rows in order of tokens) of every seed and variant."""
    several = trace["variant"].nunique() > 1
    for index, ((seed, variant), run) in enumerate(trace.groupby(["seed", "variant"])):
        label = f"seed {seed} {variant}" if several else f"seed {seed}"
        yield label, style.SEEDS[index % len(style.SEEDS)], run.sort_values("tokens")


def _speed(ax: Axes, trace: pd.DataFrame, settled: int) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    ax.axhspan(1 - SPEED_GOAL, 1 + SPEED_GOAL, color="#000000", alpha=0.06, linewidth=0)
    highest = 1.0 + SPEED_GOAL
    for label, color, run in _runs(trace):
        late = run[run["tokens"] >= settled]["tokens_per_second"]
        if late.empty:
            continue
        value = run["tokens_per_second"] / late.iloc[: max(1, len(late) // 4)].median()
        (handles[label],) = ax.plot(run["tokens"], value, color=color, linewidth=1.1, label=label)
        highest = max(highest, value.max())
    ax.set_ylim(0, 1.08 * highest)
    ax.set_ylabel("tokens/s (relative to settled)")
    ax.set_title("Speed")
    _token_axis(ax, trace)
    return handles


def _memory(ax: Axes, trace: pd.DataFrame, settled: int) -> None:
    late = trace[trace["tokens"] >= settled]["rss_bytes"] / MEGABYTE
    if len(late):
        ax.axhspan(late.min(), (1 + RSS_GOAL) * late.min(), color="#000000", alpha=0.06, linewidth=0)
    for label, color, run in _runs(trace):
        ax.plot(run["tokens"], run["rss_bytes"] / MEGABYTE, color=color, linewidth=1.1, label=label)
    ax.set_ylim(0, 1.15 * trace["rss_bytes"].max() / MEGABYTE)
    ax.set_ylabel("process memory, RSS (MB)")
    ax.set_title("Memory")
    _token_axis(ax, trace)


def _answers(ax: Axes, answers: pd.DataFrame) -> dict[str, Any]:
    """Marks at (tokens read, depth of the needle)."""
    cells = answers.groupby(["tokens", "depth"])["correct"].mean().reset_index()
    kinds = (
        ("every answer correct", cells["correct"] == 1, style.GREEN, "o"),
        ("some correct", (cells["correct"] > 0) & (cells["correct"] < 1), style.ORANGE, "D"),
        ("none correct", cells["correct"] == 0, style.RED, "x"),
    )
    handles: dict[str, Any] = {}
    for label, chosen, color, marker in kinds:
        points = cells[chosen]
        handles[label] = ax.scatter(
            points["tokens"], 100 * points["depth"], s=22, color=color, marker=marker, label=label, zorder=3
        )
    ax.set_ylim(-6, 106)
    ax.set_ylabel("depth of the needle (%)")
    ax.set_title("Answers")
    style.length_axis(ax, answers["tokens"], "tokens read per stream (log)")
    ax.tick_params(axis="x", labelsize=8)
    return handles


def _token_axis(ax: Axes, trace: pd.DataFrame) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.set_xlim(0, 1.03 * trace["tokens"].max())
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}"))
    ax.set_xlabel("tokens read per stream (thousands)")
