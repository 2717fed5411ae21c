"""The common look of all figures: colours that follow a name everywhere, sizes, captions.

Colours are the eight of Okabe and Ito (2008), which stay apart with any colour vision; markers and dashes
differ as well, so that no line is told by colour alone.
"""

from __future__ import annotations

import textwrap
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

RESOLUTION = 150  # dots per inch of the PNG
CAPTION_LETTERS_PER_INCH = 15.5  # of the 8-point caption font, with a margin
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "savefig.bbox": None,
}

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PINK, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#8a8a8a"
PURPLE = "#5e3c99"


class Look(NamedTuple):
    """How one named thing is drawn."""

    color: str
    marker: str
    dash: str
    order: int


def _looks(*rows: tuple[str, str, str, str]) -> dict[str, Look]:
    return {name: Look(color, marker, dash, i) for i, (name, color, marker, dash) in enumerate(rows)}


VARIANTS = _looks(
    ("fp16", BLACK, "o", "-"),
    ("fp16_ft", GREY, "o", "--"),
    ("int8", BLUE, "s", "-"),
    ("int4", ORANGE, "^", "-"),
    ("int4_awq", YELLOW, "^", "-"),
    ("int4_qat", ORANGE, "^", "--"),
    ("cajq_ptq", PINK, "D", "-"),
    ("cajq_qat", GREEN, "D", "-"),
    ("cajq_full", RED, "v", "-"),
)
POLICIES = _looks(
    ("oracle", BLACK, "*", ":"),
    ("baee", RED, "o", "-"),
    ("salience", PURPLE, "o", "-"),
    ("fifo", BLUE, "s", "-"),
    ("lru", SKY, "^", "-"),
    ("random", GREY, "x", "--"),
    ("streaming_llm", GREEN, "D", "-"),
    ("h2o", ORANGE, "v", "-"),
    ("scissorhands", ORANGE, "v", "--"),
    ("snapkv", PINK, "P", "-"),
    ("pyramidkv", PINK, "P", "--"),
    ("locret", BLUE, "s", "--"),
    ("knorm", SKY, "^", "--"),
    ("expected_attention", GREEN, "D", "--"),
    ("tova", RED, "o", "--"),
)
FORMATS = {  # marker and dash of a policy with entry formats that are not its own
    "fp16": ("s", ":"),
    "int8": ("d", "--"),
    "fp16+int8": ("^", "-."),
    "int8+summary": ("P", "-."),
    "fp16+int8+summary": ("X", ":"),
}
COMPONENTS = {
    "embedding": BLACK,
    "ssm": ORANGE,
    "attention": SKY,
    "memory": GREEN,
    "bridge": YELLOW,
    "ff": BLUE,
    "norm": RED,
    "head": PINK,
}
SEEDS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK)


def look_of(name: str, known: dict[str, Look]) -> Look:
    """The fixed look of a name; a new name gets one derived from its letters, the same in every figure.

    A policy whose name says its entry formats has the colour of the policy.
    """
    if name in known:
        return known[name]
    base, _, formats = name.partition("+")
    if base in known and formats in FORMATS:
        marker, dash = FORMATS[formats]
        return Look(known[base].color, marker, dash, known[base].order)
    number = zlib.crc32(name.encode())
    return Look(SEEDS[number % len(SEEDS)], "os^Dv"[number % 5], "-.", len(known) + number % 1000)


def ordered(names: Iterable[str], known: dict[str, Look]) -> list[str]:
    """Unique names in their fixed order."""
    return sorted(set(names), key=lambda name: (look_of(name, known).order, name))


def canvas(width: float, height: float) -> Canvas:
    """An empty figure [inches] whose layout keeps labels, legends and caption apart."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained")


def caption(fig: Canvas, text: str) -> None:
    """Facts in small print under the figure, wrapped to its width."""
    width = int(CAPTION_LETTERS_PER_INCH * fig.get_figwidth())
    lines = [piece for line in text.splitlines() for piece in textwrap.wrap(line, width)]
    fig.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8, color="#444444")


def legend_right(fig: Canvas, handles: dict[str, Any]) -> None:
    """One legend for all panels, outside the data. `handles`: label -> artist."""
    if handles:
        fig.legend(list(handles.values()), list(handles), loc="outside right upper", handlelength=2.6)


def length_axis(ax: Axes, lengths: Iterable[int], label: str) -> None:
    """Logarithmic token axis whose ticks are the measured lengths themselves."""
    ticks = sorted({int(length) for length in lengths})
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [short_count(tick) for tick in ticks])
    ax.minorticks_off()
    if len(ticks) > 6:
        ax.tick_params(axis="x", labelsize=8)
    if len(ticks) == 1:
        ax.set_xlim(ticks[0] / 2, ticks[0] * 2)
    ax.set_xlabel(label)


def short_count(number: int) -> str:
    """1024 -> "1K"; other numbers in full."""
    return f"{number // 1024}K" if number >= 1024 and number % 1024 == 0 else str(number)


def empty_panel(ax: Axes, text: str = "not measured") -> None:
    """Say in a panel that there is nothing to draw."""
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color="#777777")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)


def separate_cells(ax: Axes, shape: tuple[int, int]) -> None:
    """Thin white lines between the cells [rows, columns] of an image instead of a grid."""
    ax.grid(False)
    for x in range(1, shape[1]):
        ax.axvline(x - 0.5, color="white", linewidth=0.6)
    for y in range(1, shape[0]):
        ax.axhline(y - 0.5, color="white", linewidth=0.6)


def pick_model(table: pd.DataFrame) -> str | None:
    """The model a figure of one model shows: the reference, else the first name."""
    names = sorted(table["model"].dropna().unique()) if len(table) else []
    if not names:
        return None
    return "reference" if "reference" in names else names[0]


def seeds_text(seeds: Iterable[int]) -> str:
    """ "seeds 1, 2, 3" or "seed 1"."""
    values = sorted({int(seed) for seed in seeds})
    return f"seed{'s' if len(values) != 1 else ''} {', '.join(map(str, values))}"


def span_text(values: Iterable[float]) -> str:
    """ "500" or "24-500": the range of a count."""
    numbers = sorted({int(value) for value in values})
    if not numbers:
        return "0"
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
