"""Answers that need no model: they prove the pipeline and show what a score is worth.

Each baseline is made for one task and its numbered rows and then used like any model: ``generate(prompt,
max_new_tokens) -> str``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from synapnet_edge.evaluation.longbench.schema import Row
from synapnet_edge.evaluation.longbench.tasks import CLASSIFICATION, LongBenchTask
from synapnet_edge.registry import Registry

Generate = Callable[[str, int], str]
Baseline = Callable[[LongBenchTask, Sequence[tuple[int, Row]]], Generate]

BASELINES: Registry[Baseline] = Registry("LongBench baseline")

# Metrics of tasks whose answers come from a small closed set.
_CLOSED = (CLASSIFICATION, "number_share", "paragraph_share")


@BASELINES.register("empty")
def empty(task: LongBenchTask, rows: Sequence[tuple[int, Row]]) -> Generate:
    """Say nothing."""
    return lambda prompt, max_new_tokens: ""


@BASELINES.register("frequent_or_first")
def frequent_or_first(task: LongBenchTask, rows: Sequence[tuple[int, Row]]) -> Generate:
    """Closed answers: the most frequent answer of the task's rows; else the first sentence of the text.

    The most frequent answer is counted on the scored rows themselves: it bounds what any constant answer can
    reach and is no result of a system.
    """
    if task.metric in _CLOSED:
        answer = most_frequent(answer for _, row in rows for answer in row.answers)
        return lambda prompt, max_new_tokens: answer
    start = task.prompt.partition("{context}")[0]
    return lambda prompt, max_new_tokens: first_sentence(prompt.removeprefix(start), max_new_tokens)


def most_frequent(answers: Iterable[str]) -> str:
    """The most frequent text, of equally frequent ones the first in order of the alphabet; "" of none."""
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer), default="")


def first_sentence(text: str, max_words: int) -> str:
    """Text up to its first full stop, question or exclamation mark; at most `max_words` words."""
    cut = re.match(rf"\s*((?:\S+\s+){{0,{max_words - 1}}}\S+)", text)
    words = cut[1] if cut else ""
    sentence = re.match(r".*?(?:[.!?](?=\s)|[。！？])", words, re.DOTALL)
    return sentence[0] if sentence else words
