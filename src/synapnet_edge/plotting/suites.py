"""What the figures of the guarded suites share: which suites, their pooled cells, names of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from synapnet_edge.plotting import style
from synapnet_edge.reporting.aggregate import scores

if TYPE_CHECKING:
    import pandas as pd

SUITES = ("ruler", "longbench", "needlebench")
# Modules behind the numbers of these figures, for their code fingerprint.
USES = ("plotting.suites", "reporting.aggregate", "reporting.effective_length", "evaluation.statistics")


class Cells(NamedTuple):
    """Pooled cells of one model."""

    model: str | None
    table: pd.DataFrame  # `aggregate.scores`, suites in the order of `SUITES`
    seeds: list[int]

    @property
    def suites(self) -> list[str]:
        return [suite for suite in SUITES if suite in set(self.table["suite"])]

    @property
    def variants(self) -> list[str]:
        return style.ordered(self.table["variant"], style.VARIANTS)

    def facts(self) -> str:
        """Model, rows, seeds and intervals, for captions."""
        return (
            f"Model {self.model}; n = {style.span_text(self.table['n'])} rows per task, length and seed; "
            f"{style.seeds_text(self.seeds)}, each trained from scratch; mean over seeds"
        )


def pooled_cells(benchmark: pd.DataFrame) -> Cells:
    """The cells of the guarded suites of the model that a figure of one model shows."""
    table = benchmark[benchmark["suite"].isin(SUITES)].dropna(subset=["score"])
    model = style.pick_model(table)
    table = table[table["model"] == model]
    return Cells(model, scores(table), sorted(table["seed"].unique()))


def in_order(tasks: pd.Series) -> list[str]:
    """Unique tasks, those of the mean of a suite first."""
    from synapnet_edge.reporting.effective_length import MEAN

    return sorted(dict.fromkeys(tasks), key=lambda task: task != MEAN)


def short_name(task: str) -> str:
    """ "ruler/vt" -> "vt"."""
    return task.rpartition("/")[2]
