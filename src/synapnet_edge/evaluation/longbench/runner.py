"""Score anything that turns a prompt into text on LongBench: one row per task and bucket of lengths."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from synapnet_edge.evaluation.longbench.aggregate import mean_interval
from synapnet_edge.evaluation.longbench.answered import Answered
from synapnet_edge.evaluation.longbench.baselines import BASELINES, Baseline, Generate
from synapnet_edge.evaluation.longbench.metrics import Segment
from synapnet_edge.evaluation.longbench.schema import Row, read_rows
from synapnet_edge.evaluation.longbench.source import MissingData, Source
from synapnet_edge.evaluation.longbench.tasks import LONGBENCH_TASKS, LongBenchTask

logger = logging.getLogger(__name__)

COLUMNS = [
    "set", "system", "task", "category", "metric", "bucket", "n", "score", "ci_low", "ci_high", "truncated",
    "max_new_tokens", "status", "reason",
]  # fmt: skip
ROW_COLUMNS = [
    "set", "system", "task", "category", "bucket", "row", "id", "length", "score", "truncated",
]  # fmt: skip
# LongBench-E reports by the field `length`: below 4000, below 8000, the rest.
BUCKETS = {"0-4k": 4000, "4-8k": 8000, "8k+": float("inf")}
CHINESE = "Chinese tasks need word segmentation: pass segment=..., for example jieba.lcut"


class Settings(NamedTuple):
    """What is scored and how prompts are prepared.

    Attributes
    ----------
    tasks : sequence of str
        Names of tasks; empty means all that LongBench (or LongBench-E) has.
    extended : bool
        Score LongBench-E, in its three buckets, instead of LongBench.
    samples : int, optional
        Rows per task, drawn with `seed`; None means all.
    seed : int
        Of that draw and of the bootstrap.
    truncate : callable, optional
        Shortens a prompt, see `middle_truncation`.
    chat : callable, optional
        Puts a chat template around the (shortened) prompt of tasks that take one.
    segment : callable, optional
        Chinese text to words; without it Chinese tasks are skipped.
    progress : bool
        Show a bar.
    answered : path, optional
        File that receives every scored answer; a later call with the same file, `system`, data and settings
        asks only what is missing. `truncate`, `chat`, `segment` and the model itself are not compared.
    """

    tasks: Sequence[str] = ()
    extended: bool = False
    samples: int | None = None
    seed: int = 0
    truncate: Callable[[str], str] | None = None
    chat: Callable[[str], str] | None = None
    segment: Segment | None = None
    progress: bool = True
    answered: str | Path | None = None

    @property
    def set_name(self) -> str:
        """Name of the set of tasks, a column of the tables."""
        return "longbench_e" if self.extended else "longbench"


def run_longbench(
    generate: Generate, source: Source, *, system: str, **settings: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score a model's adapter.

    Parameters
    ----------
    generate : callable
        ``generate(prompt, max_new_tokens) -> str``: the greedy continuation of a prompt, without the prompt.
    source : Source
        See `open_source`.
    system : str
        Name of what is scored, a column of the tables.
    **settings
        See `Settings`.

    Returns
    -------
    scores : DataFrame
        `COLUMNS`, one row per task and bucket: `score` from 0 to 1 with its 95 % bootstrap interval over the
        `n` rows, `truncated` rows that lost their middle, or status "skipped" with the `reason` and n = 0.
    rows : DataFrame
        `ROW_COLUMNS`, one row per question, for paired comparisons and averages over tasks.

    Raises
    ------
    ValueError
        For an unknown task, or one that LongBench-E does not have.
    MissingData
        If a task that is named has no file, or none of all tasks has one.
    SchemaError
        If a row is malformed; the message names file, line and field.
    TypeError
        If `generate` returns something else than text.
    ValueError
        If the file `answered` belongs to another run.
    """
    return _run(lambda task, rows: generate, source, system, Settings(**settings))


def run_baseline(name: str, source: Source, **settings: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score one of `BASELINES`, which need no model; arguments and tables as for `run_longbench`."""
    return _run(BASELINES.get(name), source, f"baseline:{name}", Settings(**settings))


def bucket_of(length: int) -> str:
    """The LongBench-E bucket of a row's `length`."""
    return next(name for name, end in BUCKETS.items() if length < end)


def _run(
    prepare: Baseline, source: Source, system: str, settings: Settings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    planned = _plan(source, settings)
    run = {"set": settings.set_name, "system": system, "samples": settings.samples, "seed": settings.seed}
    answered = Answered(settings.answered, {**run, "data": str(Path(source.path).resolve())})
    if len(answered):
        logger.info("%s: continuing after %d answers", settings.answered, len(answered))
    scores: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for task, reason in planned:
        about = {"set": settings.set_name, "system": system, "task": task.name, "category": task.category}
        found: list[dict[str, Any]] = []
        if reason is None:
            questions = _read(source, task, settings)
            results = _score(prepare(task, questions), task, questions, settings, answered)
            found = [about | result for result in results]
            reason = None if found else "the file has no rows"
        else:
            logger.warning("LongBench task %s is skipped: %s", task.name, reason)
        rows += found
        scores += _cells(about, task, found, reason, settings)
    return pd.DataFrame(scores, columns=COLUMNS), pd.DataFrame(rows, columns=ROW_COLUMNS)


def _plan(source: Source, settings: Settings) -> list[tuple[LongBenchTask, str | None]]:
    """(task, why it is skipped or None) of everything asked for."""
    every = [LONGBENCH_TASKS.get(name) for name in settings.tasks or LONGBENCH_TASKS]
    plain = [task.name for task in every if not task.extended]
    if settings.extended and settings.tasks and plain:
        raise ValueError(f"tasks: found {', '.join(plain)}, which LongBench-E does not have")
    asked = [task for task in every if task.extended or not settings.extended]
    absent = [task for task in asked if _file(task, settings) not in source.members]
    if absent and (settings.tasks or len(absent) == len(asked)):
        files = ", ".join(f"{_file(task, settings)}.jsonl" for task in absent)
        raise MissingData(f"{source.path}: found no {files}; there are: {source.listing()}.")
    return [(task, _reason(task, task in absent, source, settings)) for task in asked]


def _reason(task: LongBenchTask, absent: bool, source: Source, settings: Settings) -> str | None:
    if task.language == "zh" and settings.segment is None:
        return CHINESE
    return f"no {_file(task, settings)}.jsonl in {source.path.name}" if absent else None


def _file(task: LongBenchTask, settings: Settings) -> str:
    return f"{task.name}_e" if settings.extended else task.name


def _read(source: Source, task: LongBenchTask, settings: Settings) -> list[tuple[int, Row]]:
    """(number in the file, row) of the rows to score, in the file's order."""
    lines = source.lines(_file(task, settings))
    rows = list(enumerate(read_rows(lines, task.name, task.classes)))
    if settings.samples is None or settings.samples >= len(rows):
        return rows
    rng = np.random.default_rng(settings.seed)
    chosen = rng.choice(len(rows), size=settings.samples, replace=False)
    return [rows[number] for number in sorted(chosen)]


def _score(
    generate: Generate,
    task: LongBenchTask,
    questions: list[tuple[int, Row]],
    settings: Settings,
    answered: Answered,
) -> Iterator[dict[str, Any]]:
    """Answer and score each row of one task, as far as it has not been done."""
    for number, row in tqdm(questions, desc=task.name, unit="row", disable=not settings.progress):
        known = answered.get(task.name, number)
        if known is not None:
            yield known
            continue
        full = task.render(row)
        prompt = settings.truncate(full) if settings.truncate else full
        truncated = prompt != full
        if settings.chat and task.chat:
            prompt = settings.chat(prompt)
        output = generate(prompt, task.max_new_tokens)
        if not isinstance(output, str):
            raise TypeError(f"generate: found {type(output).__name__} for task {task.name}, expected text")
        result = {
            "bucket": bucket_of(row.length) if settings.extended else "all",
            "row": number,
            "id": row.id,
            "length": row.length,
            "score": task.score(output, row, settings.segment),
            "truncated": truncated,
        }
        answered.add(task.name, result)
        yield result


def _cells(
    about: dict[str, Any],
    task: LongBenchTask,
    found: list[dict[str, Any]],
    reason: str | None,
    settings: Settings,
) -> Iterator[dict[str, Any]]:
    """The rows of the score table for one task."""
    for bucket in BUCKETS if settings.extended else ("all",):
        rows = [result for result in found if result["bucket"] == bucket]
        values = [result["score"] for result in rows]
        low, high = mean_interval(values, settings.seed, f"{task.name} {bucket}")
        yield about | {
            "metric": task.metric,
            "bucket": bucket,
            "n": len(rows),
            "score": float(np.mean(values)) if values else float("nan"),
            "ci_low": low,
            "ci_high": high,
            "truncated": sum(result["truncated"] for result in rows),
            "max_new_tokens": task.max_new_tokens,
            "status": "scored" if rows else "skipped",
            "reason": "" if rows else reason or f"no rows of length {bucket}",
        }
