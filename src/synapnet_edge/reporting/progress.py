"""How far a run is: jobs done and left by rule, and the minutes left by the times of finished jobs."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from synapnet_edge.reporting import text

BENCHMARKS = "benchmarks"  # folder of the workflow's benchmark files: one subfolder per rule
_RULE = re.compile(r"^(?:local)?rule (\w*):$")


class Progress(NamedTuple):
    """One rule."""

    rule: str
    done: int
    left: int
    seconds_each: float | None  # mean of the finished jobs; None without one

    @property
    def minutes_left(self) -> float | None:
        """Job minutes still to come; None when no job of the rule has finished yet."""
        if not self.left:
            return 0.0
        return None if self.seconds_each is None else self.left * self.seconds_each / 60


class Waiting(NamedTuple):
    """One job that a dry run would start."""

    rule: str
    benchmark: str | None  # the file its time goes to


def jobs_left(dry_run: str) -> list[Waiting]:
    """The jobs of `snakemake --dry-run`; rules without output only name what is wanted and are left out."""
    found: list[Waiting] = []
    rule, benchmark, makes = None, None, False
    for line in [*dry_run.splitlines(), "rule :"]:
        if start := _RULE.match(line):
            if rule and makes:
                found.append(Waiting(rule, benchmark))
            rule, benchmark, makes = start[1], None, False
        elif line.startswith("    output: "):
            makes = True
        elif line.startswith("    benchmark: "):
            benchmark = line.split(": ", 1)[1].strip()
    return found


def times(directory: Path) -> dict[str, float]:
    """Benchmark file, as a path below `directory` -> seconds of the job that wrote it."""
    found: dict[str, float] = {}
    for file in sorted((directory / BENCHMARKS).rglob("*.tsv")):
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        if rows and rows[-1].get("s"):
            found[file.relative_to(directory).as_posix()] = float(rows[-1]["s"])
    return found


def progress(left: Sequence[Waiting], finished: Mapping[str, float]) -> list[Progress]:
    """One row per rule with finished or waiting jobs, finished rules first.

    A job that has to run again counts as left, and its last time still tells how long it takes.
    """
    again = {job.benchmark for job in left}
    seconds: dict[str, list[float]] = {}
    done: Counter[str] = Counter()
    for file, taken in finished.items():
        rule = file.split("/")[1]
        seconds.setdefault(rule, []).append(taken)
        done[rule] += file not in again
    waiting = Counter(job.rule for job in left)
    rows = [
        Progress(rule, done[rule], waiting[rule], mean(seconds[rule]) if rule in seconds else None)
        for rule in dict.fromkeys([*seconds, *waiting])
        if done[rule] or waiting[rule]
    ]
    return sorted(rows, key=lambda row: (row.left > 0, -row.done))


def page(rows: Iterable[Progress], cores: int) -> str:
    """The table for people, and how long the rest takes."""
    rows = list(rows)
    cells = [
        (
            row.rule,
            str(row.done),
            str(row.left),
            "–" if row.seconds_each is None else f"{row.seconds_each / 60:.2f}",
            "?" if row.minutes_left is None else f"{row.minutes_left:.1f}",
        )
        for row in rows
    ]
    head = ("rule", "jobs done", "jobs left", "minutes each", "job minutes left")
    known = sum(row.minutes_left or 0.0 for row in rows)
    unknown = [row.rule for row in rows if row.minutes_left is None]
    waiting = sum(row.left for row in rows)
    if not waiting:
        last = "Nothing is left.\n"
    else:
        last = f"{waiting} jobs are left: about {known / max(1, cores):.1f} minutes on {cores} cores"
        last += f", and {', '.join(unknown)}, of which none has finished yet.\n" if unknown else ".\n"
    return f"{text.table(head, cells)}\n{last}"
