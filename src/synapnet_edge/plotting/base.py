"""Figures as entries of a registry, and the one function that writes them.

Matplotlib is imported only when a figure is drawn, so that listing figures stays cheap. Adding a figure: one
new file with a `@figure(...)` function and one import line in ``plotting/__init__.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge.artifacts import atomic_path
from synapnet_edge.registry import Registry
from synapnet_edge.results_tree import TABLES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

Tables = Mapping[str, "pd.DataFrame"]
Draw = Callable[[Tables, Mapping[str, Any]], "Canvas"]


# Kind of table -> part of the report; the first that a figure reads decides.
CATEGORIES = {
    "experiment": "Ablations",
    "stream_trace": "Memory",
    "eviction": "Memory",
    "retention": "Memory",
    "deploy": "Deployment",
    "deploy_trace": "Deployment",
    "sensitivity": "Quantisation",
    "ledger": "Quantisation",
    "rows": "Benchmarks",
    "benchmark": "Benchmarks",
    "history": "Training",
    "probe": "Training",
}


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    Attributes
    ----------
    name : file name without suffix.
    sources : kinds of the tables it reads, see `results_tree.TABLES`.
    module : dotted module below the package that draws it.
    draw : function (tables, config) -> matplotlib figure.
    uses : further modules whose content shows in the figure.
    suites : suites of the benchmark it is drawn from; default: those that score every variant.
    experiments : experiments whose tables it reads; default: the one of its own name.
    """

    name: str
    sources: tuple[str, ...]
    module: str
    draw: Draw
    uses: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [source for source in self.sources if source not in TABLES]
        if unknown or not self.sources:
            raise ValueError(
                f"figure {self.name!r}: expected sources from {list(TABLES)}, got {self.sources}"
            )

    @property
    def about(self) -> str:
        """What it shows: the first line of its module."""
        return (sys.modules[self.draw.__module__].__doc__ or self.name).strip().splitlines()[0]

    @property
    def category(self) -> str:
        """Part of the report it stands in, by the most special kind of table it reads."""
        if len(self.sources) > 2:  # an overview
            return "Summary"
        return next((part for kind, part in CATEGORIES.items() if kind in self.sources), "More")

    @property
    def code(self) -> tuple[str, ...]:
        """Modules for the code fingerprint: only a change in one of these can change the figure."""
        return ("plotting.base", "plotting.style", self.module, *self.uses)


FIGURES: Registry[Figure] = Registry("figure")


def figure(
    name: str,
    sources: tuple[str, ...],
    uses: tuple[str, ...] = (),
    suites: tuple[str, ...] = (),
    experiments: tuple[str, ...] = (),
) -> Callable[[Draw], Draw]:
    """Register the decorated drawing function as a figure; parameters as in `Figure`."""

    def store(draw: Draw) -> Draw:
        module = draw.__module__.removeprefix("synapnet_edge.")
        own = experiments or ((name,) if "experiment" in sources else ())
        FIGURES.add(name, Figure(name, sources, module, draw, uses, suites, own))
        return draw

    return store


def render(name: str, tables: Tables, pdf: Path, png: Path, config: Mapping[str, Any]) -> None:
    """Draw one figure and write it as PDF and PNG, byte for byte the same for the same tables.

    Raises
    ------
    UnknownNameError : no such figure.
    ValueError : a source table was not given.
    """
    found = FIGURES.get(name)
    missing = [source for source in found.sources if source not in tables]
    if missing:
        raise ValueError(f"figure {name!r}: expected tables {found.sources}, missing {missing}")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from synapnet_edge.plotting.style import RC, RESOLUTION

    with rc_context(RC):
        canvas = found.draw(tables, config)
        FigureCanvasAgg(canvas)
        # No date and no version in the files: equal input must give equal bytes.
        plain_pdf = {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}
        with atomic_path(pdf) as temporary:
            canvas.savefig(temporary, format="pdf", metadata=plain_pdf)
        with atomic_path(png) as temporary:
            canvas.savefig(temporary, format="png", dpi=RESOLUTION, metadata={"Software": None})
