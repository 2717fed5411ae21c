"""Accuracy and retention of every policy under a memory budget, one column per position and length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MAX_COLUMNS = 6


@figure("eviction_grid", ("eviction",), uses=("evaluation.statistics",))
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Upper row: task accuracy with 95 % intervals pooled over seeds. Lower row: retention of the target."""
    table = tables["eviction"].dropna(subset=["accuracy"])
    if len(table) and not table["query_aware"].astype(bool).all():
        table = table[~table["query_aware"].astype(bool)]
    columns = list(dict.fromkeys(zip(*(table[c] for c in ("task", "position", "length")), strict=True)))
    columns = sorted(columns)[:MAX_COLUMNS]
    count = max(1, len(columns))
    fig = style.canvas(2.6 * count + 2.0, 5.4)
    axes = fig.subplots(2, count, squeeze=False, sharey="row", sharex=True)
    if not columns:
        for ax in axes[:, 0]:
            style.empty_panel(ax)
        return fig
    handles: dict[str, Any] = {}
    one_task = len({task for task, _, _ in columns}) == 1
    for index, (task, position, length) in enumerate(columns):
        key = (table["task"] == task) & (table["position"] == position) & (table["length"] == length)
        handles |= _accuracy(axes[0, index], table[key])
        _retention(axes[1, index], table[key])
        place = f"{position}, {style.short_count(int(length))} tokens"
        name = task.split("/")[-1]  # the caption has the whole one
        axes[0, index].set_title(place if one_task else f"{name}\n{place}")
        axes[1, index].set_xlabel("memory budget\n(% of unbounded)")
    axes[0, 0].set_ylabel("accuracy (share correct)")
    axes[1, 0].set_ylabel("retention (share of targets held)")
    style.legend_right(fig, handles)
    tasks = ", ".join(sorted({task for task, _, _ in columns}))
    style.caption(
        fig,
        f"{tasks}; n = {style.span_text(table['n'])} per cell and seed; {style.seeds_text(table['seed'])}; "
        "mean over seeds, bars: pooled 95 % Wilson interval.",
    )
    return fig


def _accuracy(ax: Axes, cells: pd.DataFrame) -> dict[str, Any]:
    # Imported when drawing: the package behind it loads torch, which no other figure needs.
    from synapnet_edge.evaluation.statistics import wilson_interval

    handles: dict[str, Any] = {}
    full = cells["accuracy_full"].dropna()
    if len(full):
        handles["no eviction"] = ax.axhline(full.mean(), color="#555555", dashes=(6, 2), linewidth=1.2)
    policies = style.ordered(cells["policy"], style.POLICIES)
    for index, policy in enumerate(policies):
        look = style.look_of(policy, style.POLICIES)
        mine = cells[cells["policy"] == policy]
        mine = mine.assign(right=mine["accuracy"] * mine["n"]).groupby("budget")[["right", "n"]].sum()
        mean = mine["right"] / mine["n"]
        bounds = [wilson_interval(round(r), int(n)) for r, n in zip(mine["right"], mine["n"], strict=True)]
        below = [max(0.0, m - low) for m, (low, _) in zip(mean, bounds, strict=True)]
        above = [max(0.0, high - m) for m, (_, high) in zip(mean, bounds, strict=True)]
        handles[policy] = ax.errorbar(
            _dodged(mine.index, index, len(policies), cells["budget"]),
            mean,
            yerr=[below, above],
            color=look.color,
            marker=look.marker,
            linestyle=look.dash,
            elinewidth=0.8,
            capsize=1.5,
            zorder=20 - index,
            label=policy,
        )
    ax.set_ylim(-0.03, 1.04)
    return handles


def _retention(ax: Axes, cells: pd.DataFrame) -> None:
    policies = style.ordered(cells["policy"], style.POLICIES)
    for index, policy in enumerate(policies):
        look = style.look_of(policy, style.POLICIES)
        mean = cells[cells["policy"] == policy].groupby("budget")["retention"].mean().dropna()
        x = _dodged(mean.index, index, len(policies), cells["budget"])
        ax.plot(x, mean, look.dash, color=look.color, marker=look.marker, label=policy, zorder=20 - index)
    budgets = sorted(_percent(cells["budget"].unique()))
    ax.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
    ax.set_ylim(-0.03, 1.04)


def _dodged(budgets, index: int, count: int, every: pd.Series) -> list[float]:
    """Budgets in percent, each policy set apart a little, or policies that tie would hide each other."""
    span = 100.0 * float(every.max() - every.min()) or 10.0
    shift = 0.012 * span * (index - (count - 1) / 2)
    return [budget + shift for budget in _percent(budgets)]


def _percent(budgets) -> list[float]:
    return [100.0 * float(budget) for budget in budgets]
