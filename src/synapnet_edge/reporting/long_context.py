"""The long-context table: its section and the verdicts on its goals, from pooled cells alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synapnet_edge.reporting import targets, text
from synapnet_edge.reporting.findings import Goal
from synapnet_edge.reporting.forerunner import published

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "reference"


def own_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """What the goals are set for, out of the cells of `aggregate.scores`: one suite, variant and model."""
    chosen = (cells["suite"] == targets.SUITE) & (cells["variant"] == targets.VARIANT)
    return cells[chosen & (cells["model"] == REFERENCE)]


def goals(
    cells: pd.DataFrame, experiment: pd.DataFrame, manifests: Sequence[Mapping[str, Any]]
) -> list[Goal]:
    """Every goal of the long-context table, of the small model and of the training cost."""
    mine = own_cells(cells)
    return [
        *(_target_goal(mine, target) for target in targets.TARGETS),
        _mqar_goal(experiment),
        _spread_goal(mine),
        _cost_goal(manifests),
    ]


def _target_goal(cells: pd.DataFrame, target: targets.Target) -> Goal:
    """Judge one group of cells by the one that lies lowest against its goal."""
    wanted = [(task, length) for task in target.tasks for length in target.goals]
    found = {(row.task, int(row.length)): row for row in cells.itertuples()}
    name = f"Long context, {targets.VARIANT}, {target.words}"
    measured = [found[key] for key in wanted if key in found]
    missing = [f"{task} at {length}" for task, length in wanted if (task, length) not in found]
    if not measured:
        return Goal(name, "no cell", None)
    worst = min(measured, key=lambda row: row.mean - target.goals[int(row.length)])
    parts = [f"worst {_cell_words(worst)}"]
    few = sum(row.n_total < targets.ROWS for row in measured)
    if few:
        parts.append(f"fewer than {targets.ROWS} rows in {few} of {len(measured)} cells")
    if missing:
        parts.append(f"no cell for {', '.join(missing)}")
    enough_seeds = all(row.seeds >= targets.SEEDS for row in measured)
    if not enough_seeds:
        parts.append(f"fewer than {targets.SEEDS} trained seeds")
    reached = worst.mean >= target.goals[int(worst.length)]
    met = None if reached and missing else bool(reached and enough_seeds)
    return Goal(name, "; ".join(parts), met)


def _cell_words(row: Any) -> str:
    spread = text.interval(row.ci_low, row.ci_high)
    return f"{text.share(row.mean)} {spread}, n = {row.n_total} ({row.task} at {int(row.length)})"


def _spread_goal(cells: pd.DataFrame) -> Goal:
    name = f"Spread over trained seeds (standard deviation) at most {targets.SPREAD} in the headline cells"
    rows = [row for row in cells.itertuples() if (row.task, int(row.length)) in targets.HEADLINE]
    rows = [row for row in rows if row.seeds > 1]
    if not rows:
        return Goal(name, "no cell with several seeds", None)
    worst = max(rows, key=lambda row: row.std)
    measured = f"largest {worst.std:.3f} ({worst.task} at {int(worst.length)}, {worst.seeds} seeds)"
    met = bool(worst.std <= targets.SPREAD and worst.seeds >= targets.SEEDS)
    return Goal(name, measured, None if met and len(rows) < len(targets.HEADLINE) else met)


def _cost_goal(manifests: Sequence[Mapping[str, Any]]) -> Goal:
    """Training time x cores of the dearest seed; processor time of the whole job (probes too) beside it."""
    name = f"Pretraining one seed of the reference model: at most {targets.CORE_MINUTES:g} core-minutes"
    jobs = [m for m in manifests if m.get("stage") == "pretrain" and m.get("model") == REFERENCE]
    minutes = [m["training_core_seconds"] / 60 for m in jobs if "training_core_seconds" in m]
    if not minutes:
        return Goal(name, "no manifest", None)
    parts = [f"most {max(minutes):.1f}, mean {_mean(minutes):.1f} ({_count(len(minutes), 'seed')})"]
    facts = (
        ("cpu_seconds", "whole jobs {:.1f} core-minutes", 60),
        ("tokens_per_second", "{:,.0f} tokens/s", 1),
        ("matmul_share", "{:.0%} of the matmul peak", 1),
    )
    for key, words, unit in facts:
        # A job that resumed a killed one knows the processor time of its own part alone.
        whole = [m for m in jobs if m.get("cpu_seconds", 0) >= m.get("training_core_seconds", 0)]
        values = [float(m[key]) / unit for m in (whole if key == "cpu_seconds" else jobs) if m.get(key)]
        if values:
            parts.append(words.format(_mean(values)))
    return Goal(name, ", ".join(parts), max(minutes) <= targets.CORE_MINUTES)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}"


def _mqar_goal(experiment: pd.DataFrame) -> Goal:
    """The best arm below the size limit, pooled over its seeds."""
    from synapnet_edge.reporting.ablation import pooled

    task, length, goal = targets.MQAR
    name = f"{task} at {length} with fewer than {targets.MQAR_PARAMETERS:,} parameters: at least {goal}"
    chosen = (experiment["task"] == task) & (experiment["length"] == length)
    rows = experiment[chosen & (experiment["parameters"] < targets.MQAR_PARAMETERS)]
    if rows.empty:
        return Goal(name, "no cell", None)
    cells = pooled(rows)
    best = cells.loc[cells["mean"].idxmax()]
    measured = (
        f"{text.share(best['mean'])} {text.interval(best['ci_low'], best['ci_high'])}, "
        f"n = {best['n_total']}, {text.count(rows['parameters'].max())} parameters, "
        f"{_count(int(best['seeds']), 'seed')}"
    )
    return Goal(name, measured, bool(best["mean"] >= goal and best["seeds"] >= targets.SEEDS))


def section(cells: pd.DataFrame, trained_to: float) -> str:
    """Rows = tasks, columns = lengths: accuracy pooled over seeds, its interval, and the forerunner's number.

    Parameters
    ----------
    trained_to : longest training sequence [tokens]; NaN when unknown.
    """
    mine = own_cells(cells)
    lengths = sorted({int(length) for length in mine["length"]})
    rows = []
    for task, part in mine.groupby("task", sort=False):
        at = {int(row.length): row for row in part.itertuples()}
        rows.append((task, *(_table_cell(task, at.get(length)) for length in lengths), _counts(part)))
    head = ("task", *(_length_head(length, trained_to) for length in lengths), "seeds × n")
    return (
        "## Long context\n\n"
        f"Model {REFERENCE}, {targets.VARIANT}: accuracy over all trained seeds with its 95 % interval; in "
        f"round brackets the forerunner's published {targets.VARIANT} number where there is one. ✓ and ✗: "
        "the cell reaches its goal or not. × n: how many times longer than the longest training sequence.\n\n"
        + text.table(head, rows)
    )


def _length_head(length: int, trained_to: float) -> str:
    times = length / trained_to if trained_to == trained_to else 0
    return f"{length} (× {times:g})" if times > 1 else str(length)


def _table_cell(task: str, row: Any) -> str:
    if row is None:
        return "–"
    theirs = published(task, targets.VARIANT, int(row.length))
    quoted = f" ({text.share(theirs.mean)})" if theirs else ""
    goal = targets.goal_of(task, int(row.length))
    mark = "" if goal is None else " ✓" if row.mean >= goal else " ✗"
    return f"{text.share(row.mean)} {text.interval(row.ci_low, row.ci_high)}{quoted}{mark}"


def _counts(part: pd.DataFrame) -> str:
    low, high = int(part["n"].min()), int(part["n"].max())
    return f"{part['seeds'].min()} × {low}" + (f"–{high}" if high != low else "")
