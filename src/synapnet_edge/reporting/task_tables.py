"""results/task_tables.md: how fast the rows of every task are made, and what they give away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge.artifacts import write_text
from synapnet_edge.reporting import text

if TYPE_CHECKING:
    import pandas as pd

SPEED_GOAL = 2e6  # tokens/s of one core
GUARDS = ("oracle", "majority", "query_only", "context_only", "heuristic")
# Why a published generator cannot keep to its bound; its rows are kept as they were published.
KNOWN = {
    (
        "reference/niah_multi_key",
        "oracle",
    ): "a later pair may overwrite the asked value (published generator)",
    ("reference/mkn", "oracle"): "a later pair may overwrite the asked value (published generator)",
}


def write_task_tables(speed: pd.DataFrame, guards: pd.DataFrame, output: Path) -> None:
    """Write the page from the tables `task_speed` and `task_guards`."""
    write_text(
        output, "\n".join(["# Tasks without a model\n", _speed_section(speed), *_guard_sections(guards)])
    )


def _speed_section(speed: pd.DataFrame) -> str:
    training = speed[speed["made"] == "training"].sort_values("tokens_per_second")
    alone = speed[speed["made"] == "evaluation"].set_index("task")
    met = int((training["tokens_per_second"] >= SPEED_GOAL).sum())
    rows = [
        (
            *(row["task"], str(row["task_version"]), text.count(row["length"]), *_speed(row)),
            *("yes" if row["tokens_per_second"] >= SPEED_GOAL else "no", *_speed(alone.loc[row["task"]])),
            str(row["repeats"]),
        )
        for row in training.to_dict("records")
    ]
    size = (
        f"Batches of {training.iloc[0]['batch']} rows, those of training with up to "
        f"{training.iloc[0]['readouts']:.0f} answers; one thread. "
        if len(training)
        else ""
    )
    head = (
        "task",
        "version",
        "length",
        "training, Mtokens/s",
        "95 %",
        "goal",
        "evaluation, Mtokens/s",
        "95 %",
    )
    return (
        f"## Speed of generation\n\n{size}Tokens per second of processor time, median over batches and its "
        "95 % interval by order statistics, slowest first. Goal: training batches at "
        f"{SPEED_GOAL / 1e6:.0f} million tokens/s or more; met by {met} of {len(training)} tasks. Evaluation "
        "rows are drawn one by one, each from its own seed.\n\n" + text.table((*head, "batches"), rows)
    )


def _speed(row: Mapping[str, Any]) -> tuple[str, str]:
    low, high = (text.share(row[side] / 1e6, 2) for side in ("ci_low", "ci_high"))
    return f"{row['tokens_per_second'] / 1e6:.2f}", f"[{low}, {high}]"


def _guard_sections(guards: pd.DataFrame) -> Iterator[str]:
    yield (
        "## Guards\n\n"
        "Share of rows that is right with its 95 % interval; every solver reads `input_ids` only. Oracle: an "
        "exact solver, to be right on every row. Majority: the most frequent class of training rows. Query "
        "only: a linear probe on the tokens of the question. Context only: a linear probe on the bag of all "
        "other tokens. Heuristic: the best of several rules without a question. Bounds: chance for majority "
        "and query only, the stated guess for context only and heuristic; a guess may use more than these "
        "rules do, see docs/tasks.md. Tasks of counting have no bound where the solver counts. Bold: outside "
        "its bound by more than chance explains.\n"
    )
    yield "### Outside a bound\n\n" + text.bullets(
        (_complaint(row) for row in guards[~guards["within"]].to_dict("records")), "Nothing."
    )
    head = ("task", "length", "n", *(guard.replace("_", " ") for guard in GUARDS))
    for suite, part in guards.groupby("suite", sort=False):
        rows = [_guard_row(key, cell) for key, cell in part.groupby(["task", "length"], sort=False)]
        yield f"### {suite}\n\n" + text.table((*head, "which", "chance", "guess"), rows)


def _guard_row(key: tuple[str, int], cell: pd.DataFrame) -> tuple[str, ...]:
    found = {row["guard"]: row for row in cell.to_dict("records")}
    any_row = cell.iloc[0]
    return (
        *(key[0], text.count(key[1]), str(any_row["n"])),
        *(_share(found[guard]) if guard in found else "–" for guard in GUARDS),
        found["heuristic"]["solver"] if "heuristic" in found else "–",
        *(text.share(any_row["chance"]), text.share(any_row["guess"])),
    )


def _share(row: Mapping[str, Any]) -> str:
    words = f"{text.share(row['score'])} {text.interval(row['ci_low'], row['ci_high'])}"
    return words if row["within"] else f"**{words}**"


def _complaint(row: Mapping[str, Any]) -> str:
    reason = KNOWN.get((row["task"], row["guard"]))
    return (
        f"{row['task']} at {text.count(row['length'])}: {row['guard'].replace('_', ' ')} ({row['solver']}) "
        f"{text.share(row['score'])} {text.interval(row['ci_low'], row['ci_high'])}, n = {row['n']}, "
        f"bound {text.share(row['bound'])}" + (f"; {reason}" if reason else "")
    )
