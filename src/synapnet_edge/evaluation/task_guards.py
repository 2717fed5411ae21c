"""The guard table: what a task gives away without a model, measured for any registered task.

Every solver reads `input_ids` only and is held against the bound the task states: its chance for solvers that
see nothing of the context, its `guess` for those that see it. Where counting the answers of the whole row is
what a task asks for, solvers that do so are the task and no shortcut; they have no bound there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.evaluation.guard_rows import GuardRows, evaluation_rows, probe_rows
from synapnet_edge.evaluation.scores import mean_interval
from synapnet_edge.evaluation.set_shortcuts import set_shortcuts
from synapnet_edge.tasks.base import IGNORE, Task
from synapnet_edge.tasks.catalog import TASKS
from synapnet_edge.tasks.sets import recall_at

logger = logging.getLogger(__name__)

COLUMNS = [
    "suite", "task", "task_version", "length", "guard", "solver", "n", "score", "ci_low", "ci_high",
    "chance", "guess", "bound", "within",
]  # fmt: skip
# A score breaks its bound if chance alone gives as much in fewer than one of 10,000 cells: three standard
# errors, the rule of the tests, would ring a false alarm in a table of a few hundred.
P_LIMIT = 1e-4
PROBES = ("majority", "query_only", "context_only")
SEEING = ("context_only", "heuristic")  # guards that see the context
COUNTING_TASKS = frozenset({"reference/fa", "ruler/cwe", "ruler/fwe"})
COUNTING_HEURISTICS = frozenset({"most_frequent_answer", "most_frequent_answers", "most_frequent_bigrams"})


@dataclass(frozen=True)
class Measured:
    """One guard of one task: which solver reached which share of each row [B]."""

    guard: str
    solver: str
    shares: np.ndarray


def guard_table(tasks: Sequence[str], settings: Mapping[str, Any]) -> pd.DataFrame:
    """All guards of `tasks` at the lengths of `settings`; one row per task, length and guard.

    Parameters
    ----------
    settings : mapping
        `rows` measured in every cell, `lengths` [tokens] (a task that needs more is measured at its smallest
        length), `probe_rows` the probes are trained on, `probe_lengths` (those of `lengths` at which they
        are: they cost the most), `seed` of the rows.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: n counts rows (a row with several read-outs has the share it gets right), the
        interval is `mean_interval`, `within` whether the score keeps to `bound` as far as n can tell; `bound`
        is nan where the solver is what the task asks for.
    """
    found: list[dict[str, Any]] = []
    for number, name in enumerate(tasks, start=1):
        task = TASKS.get(name)
        logger.info("%d/%d %s", number, len(tasks), name)
        for length, probed in _lengths(task, settings):
            for measured in measure_guards(task, length, settings, probed=probed):
                found.append(_line(task, length, measured))
    return pd.DataFrame(found, columns=COLUMNS)


def measure_guards(
    task: Task, length: int, settings: Mapping[str, Any], *, probed: bool = True
) -> Iterator[Measured]:
    """The oracle, the probes (unless left out) and the best heuristic on fresh test rows of one length."""
    rng = np.random.default_rng([settings["seed"], length])
    rows = evaluation_rows(task, settings["seed"], settings["rows"], length)
    yield Measured("oracle", "oracle", oracle_shares(task, rows))
    if probed:
        train = probe_rows(task, rng, settings["probe_rows"], length, rows)
        for guard in PROBES:
            yield Measured(guard, *_probe(guard, train, rows))
    heuristics = heuristic_shares(rows, rng)
    if task.name in COUNTING_TASKS:
        heuristics = {name: shares for name, shares in heuristics.items() if name not in COUNTING_HEURISTICS}
    best = max(heuristics, key=lambda name: heuristics[name].mean())
    yield Measured("heuristic", best, heuristics[best])


def oracle_shares(task: Task, rows: GuardRows) -> np.ndarray:
    """Share [B] of every row's read-outs that the task's own solver finds (a set counts only as a whole).

    Raises
    ------
    ValueError
        If the solver's answers do not have the shape of the targets.
    """
    answers = np.asarray(task.oracle(rows.input_ids))
    expected = rows.targets if rows.target_set is None else rows.target_set
    if answers.size != expected.size or len(answers) != len(expected):
        raise ValueError(f"task {task.name!r}: oracle: found {answers.shape}, expected {expected.shape}")
    answers = answers.reshape(expected.shape)
    if rows.target_set is not None:
        return (answers == expected).all(1).astype(float)
    return rows.shares(answers)


def heuristic_shares(rows: GuardRows, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Share [B] of every row that each heuristic gets right."""
    if rows.target_set is not None:
        scores = set_shortcuts(rows.context, rng)
        return {name: recall_at(score, rows.target_set) for name, score in scores.items()}
    found = {}
    for name, solve in guards.HEURISTICS.items():
        labels = solve(rows.context, rng)
        found[name] = rows.shares(labels[:, None].repeat(rows.targets.shape[1], 1))
    return found


def _probe(guard: str, train: GuardRows, rows: GuardRows) -> tuple[str, np.ndarray]:
    """Name and shares [B] of one trained probe; of several read-outs it is asked the first and the last."""
    name = {"majority": "constant", "query_only": "linear", "context_only": "linear bag of tokens"}[guard]
    features = {"query_only": "question", "context_only": "bag"}.get(guard)
    shares = []
    for column in sorted({0, rows.targets.shape[1] - 1}):
        labels, kept = train.targets[:, column], train.targets[:, column] != IGNORE
        if features is None:
            counts = np.bincount(labels[kept], minlength=rows.classes)
            scores = np.broadcast_to(counts.astype(float), (len(rows.targets), rows.classes))
        else:
            data = getattr(train, features)[kept], labels[kept]
            scores = guards.logistic_scores(data, getattr(rows, features), rows.classes)
        if rows.target_set is not None:
            shares.append(recall_at(scores, rows.target_set))
        else:
            scored = rows.targets[:, column] != IGNORE
            shares.append(np.where(scored, scores.argmax(1) == rows.targets[:, column], np.nan))
    found = np.nanmean(np.stack(shares), axis=0)
    return name, found[~np.isnan(found)]


def _lengths(task: Task, settings: Mapping[str, Any]) -> Iterator[tuple[int, bool]]:
    """The lengths a task is measured at, ascending, and whether its probes are trained there."""
    probed = {max(length, task.min_length) for length in settings["probe_lengths"]}
    for length in sorted({max(length, task.min_length) for length in settings["lengths"]}):
        yield length, length in probed


def _line(task: Task, length: int, measured: Measured) -> dict[str, Any]:
    chance, guess = task.chance(length), task.guess(length)
    bound = guess if measured.guard in SEEING else chance
    if measured.guard == "oracle":
        bound = 1.0
    elif measured.guard == "context_only" and task.name in COUNTING_TASKS:
        bound = float("nan")
    low, high = mean_interval(measured.shares)
    return {
        "suite": task.suite,
        "task": task.name,
        "task_version": task.version,
        "length": length,
        "guard": measured.guard,
        "solver": measured.solver,
        "n": len(measured.shares),
        "score": float(measured.shares.mean()),
        "ci_low": low,
        "ci_high": high,
        "chance": chance,
        "guess": guess,
        "bound": bound,
        "within": _within(measured.guard, measured.shares, bound),
    }


def _within(guard: str, shares: np.ndarray, bound: float) -> bool:
    """Whether the shares keep to the bound (the oracle: reach it).

    By the binomial distribution, which for rows with several read-outs is too lenient rather than too strict:
    no share spreads more than a coin of the same mean.
    """
    if guard == "oracle":
        return bool((shares == 1).all())
    if np.isnan(bound):
        return True
    return bool(stats.binom.sf(np.floor(shares.sum() + 1e-9) - 1, len(shares), bound) >= P_LIMIT)
