"""The 21 tasks of LongBench: category, metric, prompt and tokens to generate, read from ``tasks.json``.

The prompts say what the official ones say, in our own words, with their slots, order and answer formats. A
score is therefore not the same measurement as a published one.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from synapnet_edge.artifacts import read_json
from synapnet_edge.evaluation.longbench import metrics
from synapnet_edge.evaluation.longbench.schema import Row
from synapnet_edge.registry import Registry

FILE = Path(__file__).with_name("tasks.json")

_PLAIN = {
    "f1_words": metrics.f1_words,
    "rouge_l_words": metrics.rouge_l_words,
    "number_share": metrics.number_share,
    "paragraph_share": metrics.paragraph_share,
    "edit_similarity_blocks": metrics.edit_similarity_blocks,
}
_SEGMENTED = {"f1_words_zh": metrics.f1_words_zh, "rouge_l_words_zh": metrics.rouge_l_words_zh}
CLASSIFICATION = "class_share"
METRICS = (*_PLAIN, *_SEGMENTED, CLASSIFICATION)


@dataclass(frozen=True)
class LongBenchTask:
    """One task.

    Attributes
    ----------
    name, category : str
        Name of its file, and the category its score is averaged in.
    language : str
        "en", "zh" or "code".
    metric : str
        A name of `METRICS`.
    max_new_tokens : int
        Tokens a model may generate.
    extended : bool
        Whether LongBench-E has a file ``<name>_e``, balanced by length.
    first_line : bool
        Whether only the first line of an output is scored.
    chat : bool
        Whether a chat template may go around the prompt; few-shot and code prompts are continued as they are.
    prompt : str
        Template with the slots ``{context}`` and, where the row has an input, ``{input}``.
    """

    name: str
    category: str
    language: str
    metric: str
    max_new_tokens: int
    extended: bool
    first_line: bool
    chat: bool
    prompt: str

    def __post_init__(self) -> None:
        slots = [slot for _, slot, _, _ in string.Formatter().parse(self.prompt) if slot is not None]
        if slots not in (["context"], ["context", "input"]):
            raise ValueError(f"{self.name}: prompt: found slots {slots}, expected context or context, input")
        if self.metric not in METRICS:
            raise ValueError(f"{self.name}: metric: found {self.metric!r}, expected one of {METRICS}")
        if self.max_new_tokens < 1:
            raise ValueError(f"{self.name}: max_new_tokens: found {self.max_new_tokens}, expected at least 1")

    @property
    def classes(self) -> bool:
        """Whether rows must list their classes."""
        return self.metric == CLASSIFICATION

    def render(self, row: Row) -> str:
        """The prompt of one row; braces inside its texts stay as they are."""
        return self.prompt.format(context=row.context, input=row.input)

    def score(self, output: str, row: Row, segment: metrics.Segment | None = None) -> float:
        """Best score of an output over the accepted answers, from 0 to 1.

        Raises
        ------
        ValueError
            If a Chinese metric gets no `segment`, or an answer has not the form the metric needs.
        """
        if self.first_line:
            output = metrics.first_line(output)
        if self.metric in _SEGMENTED and segment is None:
            raise ValueError(f"{self.name}: metric {self.metric} needs a word segmenter, found none")
        return max(self._score_one(output, answer, row, segment) for answer in row.answers)

    def _score_one(self, output: str, answer: str, row: Row, segment: metrics.Segment | None) -> float:
        if self.classes:
            return metrics.class_share(output, answer, row.all_classes or ())
        if self.metric in _SEGMENTED:
            return _SEGMENTED[self.metric](output, answer, segment)
        return _PLAIN[self.metric](output, answer)


def load_tasks(path: str | Path = FILE) -> dict[str, LongBenchTask]:
    """Read the tasks of a JSON file: name -> the fields of `LongBenchTask`, the prompt as a list of lines.

    Raises
    ------
    ValueError
        If a task lacks a field, has another one, or its prompt has other slots.
    """
    names = {field.name for field in fields(LongBenchTask)} - {"name"}
    found = {}
    for name, entry in read_json(path).items():
        if not isinstance(entry, Mapping) or set(entry) != names:
            odd = sorted(set(entry) ^ names) if isinstance(entry, Mapping) else type(entry).__name__
            raise ValueError(
                f"{path}: task {name}: missing or unknown fields {odd}, expected {sorted(names)}"
            )
        settings: dict[str, Any] = {**entry, "prompt": "\n".join(entry["prompt"])}
        found[name] = LongBenchTask(name=name, **settings)
    return found


LONGBENCH_TASKS: Registry[LongBenchTask] = Registry("LongBench task")
for _name, _task in load_tasks().items():
    LONGBENCH_TASKS.add(_name, _task)
