"""results/summary.md and results/tables/*.csv, rendered from the stage tables and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge.artifacts import write_table, write_text
from synapnet_edge.reporting import (
    ablation,
    aggregate,
    cost,
    effective_length,
    findings,
    long_context,
    paired,
    sections,
)

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "benchmark": "suite task task_version model variant backend seed length n score ci_low ci_high chance "
    "guess",
    "history": "step stage length loss accuracy learning_rate write_share tokens tokens_per_second seconds "
    "model seed",
    "ledger": "component tensor parameters bits bytes model seed variant",
    "eviction": "task policy budget position length seed query_aware n accuracy ci_low ci_high retention "
    "accuracy_retained accuracy_evicted accuracy_full bytes",
    "retention": "seed epoch validation_auc shuffled_auc best_feature best_feature_auc parameters "
    "validation_examples",
    "deploy": "tier model variant backend threads context metric value unit ci_low ci_high repeats method",
    "paired": "suite model task length metric variant_a variant_b seeds n difference ci_low ci_high p_value "
    "p_holm test",
    "experiment": "experiment arm seed parameters train_tokens train_seconds task length n score ci_low "
    "ci_high chance guess",
}


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
    tables : source key (benchmark, history, ledger, retention, eviction, deploy, paired, experiment) ->
        concatenated stage tables; a source that is absent or empty is reported as not measured.
    config : the resolved configuration; it says which model and variant the eviction grid ran, and which
        suites score some variants only, so that these are left out where variants are compared.
    output : the Markdown file.
    tables_dir : folder for headline.csv, benchmark.csv, sizes.csv, eviction.csv, deploy.csv.
    manifests : the stages' manifests: cost, machine, parameters by component, reasons of skipped tiers.

    Raises
    ------
    ValueError : a table lacks a column of its contract.
    """
    given = {key: _checked(tables, key) for key in COLUMNS}
    manifests = list(manifests or [])
    measured = aggregate.scores(given["benchmark"])
    cells = measured[~measured["suite"].isin(_partial_suites(config))]
    head = aggregate.headline(cells)
    sizes = aggregate.sizes(given["ledger"])
    evicted = aggregate.eviction(given["eviction"], _floors(given["eviction"]))
    gaps = {o: aggregate.paired_difference(given["benchmark"], "cajq_qat", o) for o in ("fp16_ft", "fp16")}
    reached = findings.goals(cells, sizes, evicted, given["deploy"], gaps["fp16_ft"])
    reached += long_context.goals(measured, given["experiment"], manifests)
    negative = findings.negative_results(measured, sizes, evicted, given["retention"])
    negative += ablation.unhelpful(given["experiment"])
    parts = [
        "# SynapNet-Edge: results\n",
        "Rendered from the tables of this run. Every number is measured by it unless it says published.\n",
        sections.goals(reached),
        long_context.section(measured, _trained_to(given["history"])),
        effective_length.section(measured),
        sections.headline(head),
        sections.negative(negative),
        sections.benchmark(cells),
        sections.sizes(sizes),
        sections.control(gaps),
        paired.section(given["paired"]),
        sections.eviction(evicted, _subject(config)),
        sections.retention(given["retention"]),
        sections.deploy(given["deploy"], _skipped_tiers(manifests)),
        ablation.section(given["experiment"]),
        cost.training(aggregate.training_cost(given["history"])),
        cost.run_cost(manifests),
    ]
    written = {
        "headline": head,
        "benchmark": given["benchmark"],
        "sizes": sizes,
        "eviction": evicted,
        "deploy": given["deploy"],
    }
    for stem, table in written.items():
        write_table(Path(tables_dir) / f"{stem}.csv", table)
    write_text(output, "\n".join(parts))


def _checked(tables: Mapping[str, pd.DataFrame], key: str) -> pd.DataFrame:
    """The table of one source with its contract columns verified; an absent source becomes an empty table."""
    import pandas as pd

    expected = COLUMNS[key].split()
    table = tables.get(key)
    if table is None or (table.empty and not len(table.columns)):
        return pd.DataFrame({column: pd.Series(dtype=_dtype(column)) for column in expected})
    missing = [column for column in expected if column not in table]
    if missing:
        raise ValueError(f"table {key}: expected columns {expected}, missing {missing}")
    if table.empty:
        return table.astype({column: _dtype(column) for column in expected})
    return table.infer_objects()  # a stage without rows leaves columns without a type


# fmt: off
_WORDS = {
    "suite", "task", "model", "variant", "backend", "policy", "position", "tier",
    "metric", "unit", "method", "component", "tensor", "stage", "best_feature", "experiment", "arm",
    "variant_a", "variant_b", "test",
}
# fmt: on


def _dtype(column: str) -> str:
    """Column type of an empty table, so that arithmetic and text accessors work on it."""
    return "object" if column in _WORDS else "float64"


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


def _partial_suites(config: Mapping[str, Any]) -> list[str]:
    """Suites that name the variants they score."""
    suites = config.get("benchmark", {}).get("suites", {})
    return [name for name, suite in suites.items() if "variants" in suite]


def _trained_to(history: pd.DataFrame) -> float:
    """Longest training sequence of the reference model [tokens]; NaN without a history."""
    return float(history.loc[history["model"] == long_context.REFERENCE, "length"].max())


def _subject(config: Mapping[str, Any]) -> str:
    section = config.get("eviction", {})
    if "model" not in section or "variant" not in section:
        return ""
    return f"Model {section['model']}, {section['variant']}. "


def _skipped_tiers(manifests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """tier -> reason, from deploy manifests that carry `unavailable`."""
    return {
        str(m["tier"]): str(m["unavailable"]) for m in manifests if m.get("unavailable") and m.get("tier")
    }
