"""results/summary.md and results/tables/*.csv, rendered from the stage tables and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge.artifacts import write_table, write_text
from synapnet_edge.reporting import html, sections  # noqa: F401  sections fill the registry
from synapnet_edge.reporting.latex import write_latex
from synapnet_edge.reporting.section import CHAPTERS, SECTIONS, Run, in_order

if TYPE_CHECKING:
    import pandas as pd


def write_summary(
    tables: Mapping[str, pd.DataFrame],
    config: Mapping[str, Any],
    output: Path,
    tables_dir: Path,
    manifests: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Render the summary and its tables.

    Parameters
    ----------
    tables : kind of table -> concatenated stage tables; a kind that is absent or empty is reported as not
        measured.
    config : the resolved configuration; it says which model and variant the eviction grid ran, and which
        suites score some variants only, so that these are left out where variants are compared.
    output : the Markdown file; the same page as HTML stands beside it.
    tables_dir : folder for the tables of the sections (headline.csv, benchmark.csv, sizes.csv, ...); every
        table of the page stands in its subfolder `latex`.
    manifests : the stages' manifests: cost, machine, parameters by component, reasons of skipped tiers.

    Raises
    ------
    ValueError : a table lacks a column of its contract.
    """
    run = Run(checked(tables), config, list(manifests or []))
    parts = [
        "# SynapNet-Edge: results\n",
        "Rendered from the tables of this run. Every number is measured by it unless it says published.\n",
    ]
    for number, (chapter, title) in enumerate(CHAPTERS.items(), 1):
        texts = [deeper(entry.markdown(run)) for entry in in_order(chapter)]
        if texts:
            parts += [f"## {number}. {title}\n", *texts]
    for name in SECTIONS:
        for stem, table in SECTIONS.get(name).tables(run).items():
            write_table(Path(tables_dir) / f"{stem}.csv", table)
    page = "\n".join(parts)
    write_latex(page, Path(tables_dir) / "latex")
    write_text(output, page)
    write_text(Path(output).with_suffix(".html"), html.page(page, "SynapNet-Edge: results"))


def deeper(markdown: str) -> str:
    """The text with every heading one level lower."""
    return re.sub(r"^(#+ )", r"#\1", markdown, flags=re.MULTILINE)


def checked(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The table of every source with its contract columns verified; an absent source becomes an empty one."""
    expected: dict[str, list[str]] = {}
    for name in SECTIONS:
        for kind, columns in SECTIONS.get(name).sources.items():
            known = expected.setdefault(kind, [])
            known += [column for column in columns.split() if column not in known]
    return {kind: _checked(tables.get(kind), kind, columns) for kind, columns in expected.items()}


def _checked(table: pd.DataFrame | None, kind: str, expected: list[str]) -> pd.DataFrame:
    import pandas as pd

    if table is None or (table.empty and not len(table.columns)):
        return pd.DataFrame({column: pd.Series(dtype=_dtype(column)) for column in expected})
    missing = [column for column in expected if column not in table]
    if missing:
        raise ValueError(f"table {kind}: expected columns {expected}, missing {missing}")
    if table.empty:
        return table.astype({column: _dtype(column) for column in expected})
    return table.infer_objects()  # a stage without rows leaves columns without a type


# fmt: off
_WORDS = {
    "suite", "task", "model", "variant", "backend", "policy", "position", "tier",
    "metric", "unit", "method", "component", "tensor", "stage", "best_feature", "experiment", "arm",
    "variant_a", "variant_b", "test", "baseline", "recipe", "name", "kind",
    "against", "tiers",
}
# fmt: on


def _dtype(column: str) -> str:
    """Column type of an empty table, so that arithmetic and text accessors work on it."""
    return "object" if column in _WORDS else "float64"
