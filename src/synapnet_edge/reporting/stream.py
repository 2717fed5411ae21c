"""The long stream: answers with intervals, how flat memory and speed are, and results/stream.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapnet_edge.artifacts import write_text
from synapnet_edge.reporting import aggregate, text
from synapnet_edge.reporting.findings import Goal, goal_table

if TYPE_CHECKING:
    import pandas as pd

ACCURACY_GOAL = 0.9
RSS_GOAL = 0.05
SPEED_GOAL = 0.10
_ARM = ["model", "variant"]


def accuracy(answers: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Share correct with its 95 % Wilson interval, pooled over seeds, one row per value of `by`.

    `n` counts the answers of all `seeds`; `held` is the share of questions whose needle at least one layer
    could still reach.
    """
    import pandas as pd

    rows = []
    for key, cell in answers.groupby(by):
        right, n = int(cell["correct"].sum()), len(cell)
        low, high = aggregate.wilson(right, n)
        facts = {"seeds": cell["seed"].nunique(), "n": n, "accuracy": right / n, "ci_low": low}
        facts |= {"ci_high": high, "held": float((cell["held_layers"] > 0).mean())}
        rows.append(dict(zip(by, key, strict=True)) | facts)
    return pd.DataFrame(rows, columns=[*by, "seeds", "n", "accuracy", "ci_low", "ci_high", "held"])


def at_end(answers: pd.DataFrame) -> pd.DataFrame:
    """The answers after the last token of each stream."""
    last = answers.groupby([*_ARM, "seed"])["tokens"].transform("max")
    return answers[answers["tokens"] == last]


def flatness(trace: pd.DataFrame, settled: int) -> pd.DataFrame:
    """How constant memory and speed are after `settled` tokens, one row per model, variant and seed.

    Returns
    -------
    `windows` counted; `rss_low`, `rss_high` [bytes] and `rss_spread` = highest / lowest - 1; `speed` = median
    tokens/s of all streams; `speed_drift` = median of the last quarter of the windows over the median of the
    first quarter, minus 1 (a median, because single windows show what else the machine does); `cpu_drift` the
    same of tokens per second of processor time; `store_bytes` and `budget_bytes` at their largest. NaN where
    no window is left.
    """
    import pandas as pd

    rows = []
    for key, part in trace.groupby([*_ARM, "seed"]):
        late = part[part["tokens"] >= settled].sort_values("tokens")
        speed, rss = late["tokens_per_second"], late["rss_bytes"]
        drift, cpu_drift = _drift(speed), _drift(speed * late["seconds"] / late["cpu_seconds"])
        rows.append(
            dict(zip([*_ARM, "seed"], key, strict=True))
            | {"windows": len(late), "rss_low": rss.min(), "rss_high": rss.max()}
            | {"rss_spread": rss.max() / rss.min() - 1, "speed": speed.median(), "speed_drift": drift}
            | {"cpu_drift": cpu_drift}
            | {"store_bytes": part["store_bytes"].max(), "budget_bytes": part["budget_bytes"].max()}
            | {"tokens": part["tokens"].max(), "seconds": part["seconds"].sum()}
        )
    columns = [
        *_ARM,
        "seed",
        "windows",
        "rss_low",
        "rss_high",
        "rss_spread",
        "speed",
        "speed_drift",
        "cpu_drift",
    ]
    return pd.DataFrame(rows, columns=[*columns, "store_bytes", "budget_bytes", "tokens", "seconds"])


def _drift(speed: pd.Series) -> float:
    quarter = max(1, len(speed) // 4)
    return speed.iloc[-quarter:].median() / speed.iloc[:quarter].median() - 1


def goals(end: pd.DataFrame, flat: pd.DataFrame) -> list[Goal]:
    """The three goals; memory and speed are judged by the worst seed."""
    found = []
    for row in end.itertuples(index=False):
        measured = f"{text.share(row.accuracy)} {text.interval(row.ci_low, row.ci_high)}, n = {row.n}"
        goal = f"answers at the end >= {ACCURACY_GOAL} ({row.model}, {row.variant})"
        found.append(Goal(goal, measured, bool(row.accuracy >= ACCURACY_GOAL)))
    for (model, variant), part in flat.groupby(_ARM):
        for column, limit, name in (
            ("rss_spread", RSS_GOAL, "RSS flat"),
            ("speed_drift", SPEED_GOAL, "tokens/s flat"),
        ):
            worst = part[column].abs().max() if part[column].notna().all() else float("nan")
            met = None if worst != worst else bool(worst <= limit)
            goal = f"{name} within {limit:.0%} ({model}, {variant})"
            found.append(Goal(goal, "–" if met is None else f"{worst:.1%}", met))
    return found


def write_stream_report(
    answers: pd.DataFrame, trace: pd.DataFrame, config: Mapping[str, Any], output: Path
) -> None:
    """Write results/stream.md from the tables `stream` and `stream_trace` (with model, variant and seed)."""
    plan = config["stream"]
    end, flat = accuracy(at_end(answers), _ARM), flatness(trace, plan["settled"])
    ranking = "retention classifier" if plan["classifier"] else "no classifier"
    parts = [
        "# A stream in constant memory\n",
        f"{text.count(plan['tokens'])} tokens per stream, {plan['depths']} streams as one batch, a needle "
        f"at each of {plan['depths']} depths from 0 to 100 %; memory budget {plan['budget_mb']:g} MiB (2^20 "
        f"bytes) per stream over all layers, policy {plan['policy']} ({ranking}). The construction is that "
        "of reference/niah_single: a stream has one class token, so the answer shows what is remembered, "
        "not that a question is understood.\n",
        goal_table(goals(end, flat)),
        "## Answers by tokens read\n\nPooled over seeds, 95 % Wilson interval. Only streams whose needle "
        "has passed are asked; `held`: share whose needle at least one layer could still reach.\n\n"
        + _accuracy_table(accuracy(answers, [*_ARM, "tokens"]), "tokens"),
        "## Answers at the end by depth of the needle\n\n"
        + _accuracy_table(accuracy(at_end(answers), [*_ARM, "depth"]), "depth"),
        _flat_section(flat, plan["settled"]),
    ]
    write_text(output, "\n".join(parts))


def section(answers: pd.DataFrame, trace: pd.DataFrame, plan: Mapping[str, Any]) -> str:
    """The part of the summary: answers at the end of the stream, and how flat memory and speed were."""
    end = accuracy(at_end(answers), [*_ARM, "tokens"])
    return (
        "## A stream in constant memory\n\n"
        f"Budget {plan['budget_mb']:g} MiB (2^20 bytes) per stream over all layers, policy {plan['policy']}; "
        "pooled over seeds, 95 % Wilson interval; `held`: share whose needle at least one layer could still "
        "reach. By depth and by tokens read: `stream.md`.\n\n"
        + _accuracy_table(end, "tokens")
        + "\n"
        + _flat_section(flatness(trace, plan["settled"]), plan["settled"]).replace("## ", "### ", 1)
    )


def _accuracy_table(cells: pd.DataFrame, column: str) -> str:
    rows = [
        (
            *(row["model"], row["variant"]),
            text.count(row[column]) if column == "tokens" else f"{row[column]:.0%}",
            *(text.share(row["accuracy"]), text.interval(row["ci_low"], row["ci_high"])),
            *(str(row["n"]), str(row["seeds"]), text.share(row["held"])),
        )
        for row in cells.to_dict("records")
    ]
    return text.table(("model", "variant", column, "accuracy", "95 %", "n", "seeds", "held"), rows)


def _flat_section(flat: pd.DataFrame, settled: int) -> str:
    rows = [
        (
            *(row.model, row.variant, str(row.seed), str(row.windows)),
            f"{row.rss_low / text.MEGABYTE:.1f} – {row.rss_high / text.MEGABYTE:.1f}",
            *(f"{row.rss_spread:.2%}", text.count(row.speed), f"{row.speed_drift:+.1%}"),
            f"{row.cpu_drift:+.1%}",
            f"{text.count(row.store_bytes)} of {text.count(row.budget_bytes)}",
            f"{row.seconds / 60:.0f}",
        )
        for row in flat.itertuples(index=False)
    ]
    head = ("model", "variant", "seed", "windows", "RSS (MB)", "RSS spread", "tokens/s", "drift", "CPU drift")
    return (
        f"## Memory and speed after {text.count(settled)} tokens\n\n"
        "RSS: of the whole process, lowest – highest at the windows' ends; spread: highest / lowest − 1. "
        "tokens/s: all streams together, median over windows; drift: median of the last quarter of the "
        "windows over that of the first, − 1; CPU drift: the same by processor time, which shows "
        "the cost of the stream itself where other jobs share the machine. Store: bytes of the fullest "
        "stream.\n\n" + text.table((*head, "store bytes per stream", "minutes"), rows)
    )
