"""The run in one picture: answers against length, bytes, memory and speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synapnet_edge.plotting import style
from synapnet_edge.plotting.base import Tables, figure
from synapnet_edge.plotting.tradeoff import USES, Point, name_points, quality, scatter
from synapnet_edge.reporting.aggregate import NIAH_SINGLE, scores
from synapnet_edge.reporting.forerunner import published_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MEGABYTE = 1e6
SUITES = ("long_context", "ruler_reference")
LENGTH_ARMS = ("fp16", "cajq_qat")
DECODE = "decode_tokens_per_second"


@figure(
    "headline",
    ("benchmark", "ledger", "eviction", "deploy"),
    uses=(*USES, "reporting.forerunner"),
    suites=SUITES,
)
def draw(tables: Tables, config: Mapping[str, Any]) -> Canvas:
    """Four panels; each says "not measured" where its table has no rows."""
    benchmark = tables["benchmark"].dropna(subset=["score"])
    model = style.pick_model(benchmark)
    benchmark = benchmark[benchmark["model"] == model]
    fig = style.canvas(9.6, 7.4)
    axes = fig.subplots(2, 2)
    facts = [
        _length(axes[0, 0], benchmark),
        _storage(fig, axes[0, 1], benchmark[benchmark["suite"] == SUITES[1]], tables["ledger"], model),
        _memory(axes[1, 0], tables["eviction"]),
        _speed(axes[1, 1], tables["deploy"], model),
    ]
    for letter, ax in zip("abcd", axes.ravel(), strict=True):
        ax.set_title(f"{letter}  {ax.get_title()}", loc="left")
        ax.set_title("")
    seeds = style.seeds_text(benchmark["seed"]) if len(benchmark) else "no seed"
    words = " ".join(f"{letter}: {fact}" for letter, fact in zip("abcd", facts, strict=True) if fact)
    style.caption(fig, f"Model {model}; {seeds}, each trained from scratch; bars: 95 % intervals. {words}")
    return fig


def _length(ax: Axes, benchmark: pd.DataFrame) -> str:
    ax.set_title("NIAH-single against length")
    cells = scores(benchmark[(benchmark["task"] == NIAH_SINGLE) & benchmark["variant"].isin(LENGTH_ARMS)])
    if cells.empty:
        style.empty_panel(ax)
        return ""
    ticks = set(cells["length"])
    for variant in style.ordered(cells["variant"], style.VARIANTS):
        part = cells[cells["variant"] == variant].sort_values(["length", "n_total"])
        part = part.drop_duplicates("length", keep="last")  # of two suites, the one with more rows
        look = style.look_of(variant, style.VARIANTS)
        ax.errorbar(
            part["length"],
            part["mean"],
            yerr=[
                (part["mean"] - part["ci_low"]).clip(lower=0),
                (part["ci_high"] - part["mean"]).clip(lower=0),
            ],
            color=look.color,
            marker=look.marker,
            elinewidth=0.9,
            capsize=2,
            label=f"{variant}, this run",
        )
        theirs = [row for row in published_rows(NIAH_SINGLE) if row.variant == variant]
        ticks |= {row.length for row in theirs}
        ax.plot(
            [row.length for row in theirs],
            [row.mean for row in theirs],
            linestyle=":",
            color=look.color,
            marker=look.marker,
            markerfacecolor="white",
            label=f"{variant}, published",
        )
    style.length_axis(ax, ticks, "length (tokens)")
    ax.set_ylim(-0.03, 1.06)
    ax.set_ylabel("accuracy (share correct)")
    ax.legend(loc="lower left")
    return f"n = {style.span_text(cells['n_total'])} rows per point over all seeds; published: {_their_n()}."


def _their_n() -> str:
    rows = published_rows(NIAH_SINGLE)
    return f"n = {style.span_text(row.n for row in rows)}, one training of the forerunner"


def _storage(fig: Canvas, ax: Axes, benchmark: pd.DataFrame, ledger: pd.DataFrame, model: str | None) -> str:
    ax.set_title("accuracy against stored size")
    ledger = ledger[ledger["model"] == model]
    if benchmark.empty or ledger.empty:
        style.empty_panel(ax)
        return ""
    answered = quality(benchmark, model)
    sizes = ledger.groupby(["variant", "seed"])["bytes"].sum().groupby(level="variant").mean() / MEGABYTE
    points = [
        Point(variant, variant, (float(size),) * 3, answered.of[variant])
        for variant, size in sizes.items()
        if variant in answered.of
    ]
    scatter(ax, points)
    ax.set_xlabel("stored size (MB = $10^6$ bytes)")
    ax.set_ylabel("accuracy (share correct)")
    name_points(fig, [(ax, points)])
    return f"mean over {answered.cells} cells of suite {SUITES[1]}; grey: Pareto front."


def _memory(ax: Axes, grid: pd.DataFrame) -> str:
    ax.set_title("answers under a memory budget")
    grid = grid.dropna(subset=["accuracy"])
    if grid.empty:
        style.empty_panel(ax)
        return ""
    from synapnet_edge.evaluation.statistics import wilson_interval

    task = grid["task"].iloc[0]  # the first one that the configuration names
    grid = grid[grid["task"] == task]
    place = "early" if "early" in set(grid["position"]) else sorted(set(grid["position"]))[0]
    grid = grid[grid["position"] == place]
    grid = grid[grid["length"] == grid["length"].max()]
    for policy in style.ordered(grid["policy"], style.POLICIES):
        part = grid[grid["policy"] == policy]
        right = (part["accuracy"] * part["n"]).groupby(part["budget"]).sum()
        n = part.groupby("budget")["n"].sum()
        mean = right / n
        ends = [wilson_interval(round(r), int(c)) for r, c in zip(right, n, strict=True)]
        low, high = zip(*ends, strict=True)
        look = style.look_of(policy, style.POLICIES)
        ax.errorbar(
            mean.index * 100,
            mean,
            yerr=[(mean - list(low)).clip(lower=0), (list(high) - mean).clip(lower=0)],
            color=look.color,
            marker=look.marker,
            linestyle=look.dash,
            linewidth=2.2 if policy == "baee" else 1.1,
            elinewidth=0.7,
            capsize=1.5,
            label=policy,
        )
    ax.set_ylim(-0.36, 1.06)  # the legend stands below the data
    ax.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    ax.set_xlabel("budget (% of the bytes of the unbounded memory)")
    ax.set_ylabel("accuracy (share correct)")
    ax.legend(fontsize=7, ncols=4, loc="lower center", handlelength=1.6, columnspacing=0.9)
    counts = grid.groupby(["policy", "budget"])["n"].sum()
    length = int(grid["length"].max())
    return f"{task}, asked record {place} in {length} tokens, n = {style.span_text(counts)} over all seeds."


def _speed(ax: Axes, deploy: pd.DataFrame, model: str | None) -> str:
    ax.set_title("decode speed")
    rows = deploy.infer_objects()
    rows = rows[(rows["model"] == model) & (rows["metric"] == DECODE)].dropna(subset=["value"])
    if rows.empty:
        style.empty_panel(ax)
        return ""
    context = int(rows["context"].max())
    rows = rows[rows["context"] == context]
    arms = list(dict.fromkeys(zip(rows["variant"], rows["backend"], strict=True)))
    arms.sort(key=lambda arm: (style.look_of(arm[0], style.VARIANTS).order, arm))
    tiers = sorted(rows["tier"].unique())
    height = 0.8 / len(tiers)
    for number, tier in enumerate(tiers):
        for y, (variant, backend) in enumerate(arms):
            mine = rows[(rows["tier"] == tier) & (rows["variant"] == variant) & (rows["backend"] == backend)]
            if mine.empty:
                continue
            row = mine.iloc[0]
            ax.barh(
                y + height * (number - (len(tiers) - 1) / 2),
                row["value"],
                height * 0.9,
                xerr=[[max(0.0, row["value"] - row["ci_low"])], [max(0.0, row["ci_high"] - row["value"])]],
                color=style.SEEDS[number % len(style.SEEDS)],
                alpha=0.75,
                error_kw={"elinewidth": 0.9, "capsize": 2},
                label=tier if y == 0 else None,
            )
    ax.set_yticks(
        range(len(arms)), [f"{variant} · {backend.removeprefix('torch-')}" for variant, backend in arms]
    )
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, 1.4 * float(rows["ci_high"].max()))
    ax.set_xlabel("tokens/s, batch 1")
    ax.legend(loc="upper right")
    return (
        f"context {context}, medians of n = {style.span_text(rows['repeats'])} repeats with the interval of "
        "the median; the reference backend dequantises at load."
    )
