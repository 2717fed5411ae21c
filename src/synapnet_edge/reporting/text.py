"""Small pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan

MEGABYTE = 1e6


def share(value: float, digits: int = 3) -> str:
    """A share with a fixed number of digits; a missing one is a dash."""
    return "–" if isnan(value) else f"{value:.{digits}f}"


def mean_std(mean: float, std: float) -> str:
    """ "0.987 ± 0.004"; without a spread only the mean."""
    return share(mean) if isnan(std) else f"{share(mean)} ± {share(std)}"


def interval(low: float, high: float) -> str:
    """ "[0.970, 0.994]"."""
    return f"[{share(low)}, {share(high)}]"


def points(difference: float) -> str:
    """A difference of shares in percentage points, sign included."""
    return f"{100 * difference:+.1f}"


def count(value: float) -> str:
    """A whole number with thousands separated."""
    return "–" if isnan(value) else f"{round(value):,}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, or one line that says it is empty."""
    body = ["| " + " | ".join(row) + " |" for row in rows]
    if not body:
        return "Not measured in this run.\n"
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *body]) + "\n"


def bullets(sentences: Iterable[str], otherwise: str) -> str:
    """A list of sentences, or the one sentence that holds when there are none."""
    lines = [f"- {sentence}" for sentence in sentences]
    return "\n".join(lines or [otherwise]) + "\n"
