"""Sections of the summary as entries of a registry, and the facts of the run that they are written from.

Adding a section: one file under ``reporting/sections/`` with a function under ``@section(...)``, and one
import line in ``reporting/sections/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from synapnet_edge.registry import Registry
from synapnet_edge.reporting import aggregate
from synapnet_edge.results_tree import TABLES

if TYPE_CHECKING:
    import pandas as pd

    from synapnet_edge.reporting.findings import Goal

# Chapters in their order, as in a paper.
CHAPTERS: dict[str, str] = {
    "overview": "At a glance",
    "long_context": "Long context",
    "quantisation": "Quantisation",
    "memory": "Memory",
    "benchmarks": "Benchmarks",
    "deployment": "Deployment",
    "ablations": "Ablations",
    "limitations": "Limitations",
    "cost": "Cost",
}
# Columns of the benchmark's tables, which several sections read.
BENCHMARK = "suite task task_version model variant backend seed length n score ci_low ci_high chance guess"
NOT_MEASURED = "Not measured in this run"


@dataclass(frozen=True)
class Run:
    """Everything a section may read: the checked tables, the settings and the manifests of one run.

    A table without rows has its columns, so that sections need no special case for what was not measured.
    """

    tables: Mapping[str, pd.DataFrame]
    config: Mapping[str, Any] = field(default_factory=dict)
    manifests: Sequence[Mapping[str, Any]] = ()

    @cached_property
    def measured(self) -> pd.DataFrame:
        """Cells of all suites, see `aggregate.scores`."""
        return aggregate.scores(self.tables["benchmark"])

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Cells of the suites that score every variant, so that variants can be compared."""
        suites = self.config.get("benchmark", {}).get("suites", {})
        partial = [name for name, suite in suites.items() if "variants" in suite]
        return self.measured[~self.measured["suite"].isin(partial)]

    @cached_property
    def headline(self) -> pd.DataFrame:
        """NIAH-single beside the published cells, see `aggregate.headline`."""
        return aggregate.headline(self.cells)

    @cached_property
    def sizes(self) -> pd.DataFrame:
        """Stored bytes of every variant, see `aggregate.sizes`."""
        return aggregate.sizes(self.tables["ledger"])

    @cached_property
    def evicted(self) -> pd.DataFrame:
        """The grid of answers under a budget, see `aggregate.eviction`."""
        grid = self.tables["eviction"]
        return aggregate.eviction(grid, _floors(grid))

    @cached_property
    def gaps(self) -> dict[str, pd.DataFrame]:
        """cajq_qat minus its controls, paired by trained seed."""
        benchmark = self.tables["benchmark"]
        return {o: aggregate.paired_difference(benchmark, "cajq_qat", o) for o in ("fp16_ft", "fp16")}

    @property
    def trained_to(self) -> float:
        """Longest training sequence of the reference model [tokens]; NaN without a history."""
        history = self.tables["history"]
        return float(history.loc[history["model"] == "reference", "length"].max())


def _floors(grid: pd.DataFrame) -> dict[tuple[str, int], float]:
    """(task, length) -> accuracy of a model that cannot bind, as the task itself states it."""
    from synapnet_edge.tasks import TASKS

    found = {}
    for name, length in set(zip(grid["task"], grid["length"], strict=True)):
        if name not in TASKS:
            continue
        task, length = TASKS.get(name), int(length)
        if hasattr(task, "in_context_guess"):
            found[name, length] = float(task.in_context_guess(length))
        else:
            found[name, length] = aggregate.floor(task.chance(length), task.guess(length))
    return found


Write = Callable[[Run], str]


def _nothing(run: Run) -> list:
    return []


@dataclass(frozen=True)
class Section:
    """One section of the summary.

    Attributes
    ----------
    name : name in the registry and, with `target`, under `run.extras` of the configuration.
    chapter : key of `CHAPTERS`.
    order : place within the chapter, ascending.
    sources : kind of table (`results_tree.TABLES`) -> the columns it must have.
    write : run -> Markdown whose first line is "## Title"; it stands one level deeper in the summary.
    target : what makes the tables when the default run does not (`snakemake --cores 4 <target>`).
    goals, negative, tables : what the section adds to the goals, to the negative results (sentences) and to
        results/tables (file stem -> table).
    """

    name: str
    chapter: str
    order: int
    sources: Mapping[str, str]
    write: Write
    target: str | None = None
    goals: Callable[[Run], list[Goal]] = _nothing
    negative: Callable[[Run], list[str]] = _nothing
    tables: Callable[[Run], Mapping[str, pd.DataFrame]] = lambda run: {}

    def __post_init__(self) -> None:
        unknown = sorted(set(self.sources) - set(TABLES))
        if self.chapter not in CHAPTERS or unknown:
            raise ValueError(
                f"section {self.name!r}: expected a chapter of {list(CHAPTERS)} and sources of "
                f"{list(TABLES)}, got {self.chapter!r} and {list(self.sources)}"
            )

    def measured(self, run: Run) -> bool:
        """Whether any of its tables has rows; a section without tables always counts."""
        return not self.sources or any(len(run.tables[kind]) for kind in self.sources)

    def markdown(self, run: Run) -> str:
        """The section's text; where an optional stage was not run, how to run it."""
        if self.target is None or self.measured(run):
            return self.write(run)
        title = self.name.replace("_", " ").capitalize()
        return f"## {title}\n\n{NOT_MEASURED}: `snakemake --cores 4 {self.target}`.\n"


SECTIONS: Registry[Section] = Registry("section")


def section(
    name: str, chapter: str, order: int, sources: Mapping[str, str] | None = None, **more: Any
) -> Callable[[Write], Write]:
    """Register the decorated function as a section; `more` as in `Section`."""

    def store(write: Write) -> Write:
        SECTIONS.add(name, Section(name, chapter, order, dict(sources or {}), write, **more))
        return write

    return store


def in_order(chapter: str) -> list[Section]:
    """The sections of one chapter in their order."""
    found = [SECTIONS.get(name) for name in SECTIONS if SECTIONS.get(name).chapter == chapter]
    return sorted(found, key=lambda entry: (entry.order, entry.name))
