"""What the figures of trade-offs share: one quality per variant, the Pareto front, labelled points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from synapnet_edge.plotting import style
from synapnet_edge.reporting.aggregate import scores

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Modules behind the numbers of these figures, for their code fingerprint.
USES = ("plotting.tradeoff", "reporting.aggregate", "evaluation.statistics")


class Point(NamedTuple):
    """One arm: what it costs (x, lower is better) and how well it answers (y), each (value, low, high)."""

    variant: str
    label: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]


class Quality(NamedTuple):
    """Mean accuracy of every variant over the cells that all of them answered."""

    of: dict[str, tuple[float, float, float]]  # variant -> mean, low, high
    cells: int
    n: list[int]  # rows per cell over all seeds
    seeds: int

    def facts(self) -> str:
        """For captions."""
        return (
            f"Accuracy: mean over the {self.cells} cells (task and length) that every variant answered, "
            f"{self.seeds} trained seeds, n = {style.span_text(self.n)} rows per cell over all seeds; its "
            "95 % interval takes cells as independent."
        )


def quality(benchmark: pd.DataFrame, model: str | None) -> Quality:
    """One accuracy per variant of `model`, with the interval of a mean of independent cells."""
    cells = scores(benchmark[benchmark["model"] == model])
    keys = ["suite", "task", "length"]
    variants = cells["variant"].nunique()
    shared = cells[cells.groupby(keys)["variant"].transform("nunique") == variants]
    found = {}
    for variant, part in shared.groupby("variant"):
        mean, count = float(part["mean"].mean()), len(part)
        low = mean - sqrt(((part["mean"] - part["ci_low"]) ** 2).sum()) / count
        high = mean + sqrt(((part["ci_high"] - part["mean"]) ** 2).sum()) / count
        found[str(variant)] = (mean, low, high)
    seeds = int(shared["seeds"].min()) if len(shared) else 0
    return Quality(found, shared.groupby(keys).ngroups, [int(n) for n in shared["n_total"]], seeds)


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats in both (at equal cost the better counts), by rising cost."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x[0], -point.y[0])):
        if not best or point.y[0] > best[-1].y[0]:
            best.append(point)
    return best


def scatter(ax: Axes, points: Sequence[Point], logarithmic: bool = True) -> None:
    """Points with both intervals, the front as a grey step line; `name_points` writes their names."""
    if not points:
        style.empty_panel(ax)
        return
    if logarithmic:
        ax.set_xscale("log")
    edge = front(points)
    ax.step(
        [point.x[0] for point in edge],
        [point.y[0] for point in edge],
        where="post",
        color="#bbbbbb",
        linewidth=1.0,
        zorder=1,
    )
    for point in points:
        look = style.look_of(point.variant, style.VARIANTS)
        ax.errorbar(
            point.x[0],
            point.y[0],
            xerr=_error(point.x),
            yerr=_error(point.y),
            color=look.color,
            marker=look.marker,
            markersize=6.5,
            elinewidth=0.9,
            capsize=2,
            linestyle="none",
            zorder=3,
            label=point.label,
        )
    _room(ax, [point.x[0] for point in points], logarithmic)


def _error(value: tuple[float, float, float]) -> list[list[float]]:
    middle, low, high = value
    return [[max(0.0, middle - low)], [max(0.0, high - middle)]]


def _room(ax: Axes, values: Sequence[float], logarithmic: bool) -> None:
    """Space for the names beside the points, and ticks that can be read."""
    low, high = min(values), max(values)
    if not logarithmic:
        width = (high - low) or abs(high) or 1.0
        ax.set_xlim(low - 0.3 * width, high + 0.3 * width)
        return
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    span = max(high / low, 1.6)
    ax.set_xlim(low / span**0.3, high * span**0.3)
    steps = (1.0, 2.0, 5.0) if span > 4 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
    ax.xaxis.set_major_locator(LogLocator(subs=steps))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def name_points(fig: Canvas, panels: Iterable[tuple[Axes, Sequence[Point]]]) -> None:
    """Write names beside the points, where they cover neither each other nor another point.

    Call it last: places are found in the finished layout.
    """
    fig.draw_without_rendering()
    renderer = fig._get_renderer()
    for ax, points in panels:
        places = [tuple(ax.transData.transform((point.x[0], point.y[0]))) for point in points]
        scale = fig.dpi / 72
        taken = [_box(x, y, 9 * scale, 9 * scale) for x, y in places]
        for point, (x, y) in zip(points, places, strict=True):
            look = style.look_of(point.variant, style.VARIANTS)
            text = ax.annotate(
                point.label,
                xy=(point.x[0], point.y[0]),
                xytext=(0, 0),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=8.5,
                color=look.color,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8},
                zorder=5,
            )
            size = text.get_window_extent(renderer)
            offset = _free_place(x, y, size.width, size.height, taken, ax.bbox, scale)
            text.set_position((offset[0] / scale, offset[1] / scale))
            taken.append(_box(x + offset[0], y + offset[1], size.width, size.height))


def _box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _free_place(
    x: float, y: float, width: float, height: float, taken: list[tuple], frame: Any, scale: float
) -> tuple[float, float]:
    """Offset [pixels] of a name's middle from its point: the nearest of some places that is still free."""
    across, up = width / 2 + 7 * scale, height / 2 + 5 * scale
    rings = [(side * across, level * up) for level in (1, -1, 2, -2, 3, -3, 4, -4) for side in (1, -1)]
    rings += [(0.0, level * up * 1.4) for level in (1, -1, 2, -2)]
    for dx, dy in rings:
        box = _box(x + dx, y + dy, width, height)
        inside = box[0] >= frame.x0 and box[2] <= frame.x1 and box[1] >= frame.y0 and box[3] <= frame.y1
        if inside and not any(
            box[0] < other[2] and box[2] > other[0] and box[1] < other[3] and box[3] > other[1]
            for other in taken
        ):
            return dx, dy
    return across, up


def arm_label(variant: str, backend: str, several: bool) -> str:
    """The variant, with its backend where a variant has more than one."""
    return f"{variant} · {backend.removeprefix('torch-')}" if several else variant


def measured(cells: pd.DataFrame, convert: Any = lambda value: value) -> dict[tuple[str, str], tuple]:
    """(variant, backend) -> (value, low, high) of rows of the deploy table, through `convert`."""
    found = {}
    for row in cells.itertuples():
        ends = sorted((convert(row.ci_low), convert(row.ci_high)))
        found[row.variant, row.backend] = (convert(row.value), *ends)
    return found


def points_of(costs: Mapping[tuple[str, str], tuple], answered: Quality) -> list[Point]:
    """Points of the arms whose variant was scored, in the fixed order of variants."""
    backends = {variant: sum(variant == other for other, _ in costs) for variant, _ in costs}
    arms = [arm for arm in costs if arm[0] in answered.of]
    arms.sort(key=lambda arm: (style.look_of(arm[0], style.VARIANTS).order, arm))
    return [
        Point(
            variant,
            arm_label(variant, backend, backends[variant] > 1),
            costs[variant, backend],
            answered.of[variant],
        )
        for variant, backend in arms
    ]


def tier_panels(
    cells: pd.DataFrame,
    answered: Quality,
    at: Callable[[pd.DataFrame], int],
    convert: Any,
    label: str,
    **more: Any,
) -> tuple[Canvas, list[tuple[Axes, list[Point]]]]:
    """A panel per tier with its arms at one context.

    Parameters
    ----------
    cells : rows of one metric of the deploy table.
    at : the rows of a tier -> the context [tokens] shown.
    convert, label : value of a row -> cost on the x axis, and the name of that axis with its unit.
    **more : to `scatter`.
    """
    tiers = sorted(cells["tier"].unique())
    fig = style.canvas(4.6 * max(1, len(tiers)) + 0.4, 4.0)
    axes = fig.subplots(1, max(1, len(tiers)), squeeze=False, sharey=True)[0]
    if not tiers:
        style.empty_panel(axes[0], "not measured on this machine")
    panels = []
    for ax, tier in zip(axes, tiers, strict=False):
        here = cells[cells["tier"] == tier]
        context = at(here)
        points = points_of(measured(here[here["context"] == context], convert), answered)
        scatter(ax, points, **more)
        panels.append((ax, points))
        ax.set_title(f"{tier}, context {style.short_count(context)}")
        ax.set_xlabel(label)
    axes[0].set_ylabel("accuracy (share correct)")
    return fig, panels
