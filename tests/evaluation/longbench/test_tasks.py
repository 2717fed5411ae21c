"""Prompts, limits and truncation."""

from __future__ import annotations

import json

import pytest

from synapnet_edge.evaluation.longbench.schema import parse_row
from synapnet_edge.evaluation.longbench.tasks import FILE, LONGBENCH_TASKS, load_tasks
from synapnet_edge.evaluation.longbench.truncation import middle_truncation, truncate_middle

# Task -> (category, metric without its variant, max new tokens), from the published tables.
PUBLISHED = {
    "narrativeqa": ("single_doc_qa", "f1", 128),
    "qasper": ("single_doc_qa", "f1", 128),
    "multifieldqa_en": ("single_doc_qa", "f1", 64),
    "multifieldqa_zh": ("single_doc_qa", "f1", 64),
    "hotpotqa": ("multi_doc_qa", "f1", 32),
    "2wikimqa": ("multi_doc_qa", "f1", 32),
    "musique": ("multi_doc_qa", "f1", 32),
    "dureader": ("multi_doc_qa", "rouge", 128),
    "gov_report": ("summarization", "rouge", 512),
    "qmsum": ("summarization", "rouge", 512),
    "multi_news": ("summarization", "rouge", 512),
    "vcsum": ("summarization", "rouge", 512),
    "trec": ("few_shot", "class", 64),
    "triviaqa": ("few_shot", "f1", 32),
    "samsum": ("few_shot", "rouge", 128),
    "lsht": ("few_shot", "class", 64),
    "passage_count": ("synthetic", "number", 32),
    "passage_retrieval_en": ("synthetic", "paragraph", 32),
    "passage_retrieval_zh": ("synthetic", "paragraph", 32),
    "lcc": ("code", "edit", 64),
    "repobench-p": ("code", "edit", 64),
}
NO_INPUT = {"gov_report", "multi_news", "vcsum", "passage_count", "lcc"}


def test_tasks_are_the_published_ones():
    found = {
        name: (task.category, task.metric.split("_")[0], task.max_new_tokens)
        for name, task in ((name, LONGBENCH_TASKS.get(name)) for name in LONGBENCH_TASKS)
    }
    assert found == PUBLISHED


def test_flags_follow_the_protocol():
    tasks = [LONGBENCH_TASKS.get(name) for name in LONGBENCH_TASKS]
    assert {task.name for task in tasks if task.first_line} == {"trec", "triviaqa", "samsum", "lsht"}
    assert {task.name for task in tasks if not task.chat} == {
        *("trec", "triviaqa", "samsum", "lsht"),
        *("lcc", "repobench-p"),
    }
    assert sum(task.extended for task in tasks) == 13
    assert {task.name for task in tasks if "{input}" not in task.prompt} == NO_INPUT
    assert sum(task.language == "zh" for task in tasks) == 5


def test_prompt_holds_the_texts_as_they_are(row):
    fields = row("qasper", 7, input="Who wrote {context}?")
    prompt = LONGBENCH_TASKS.get("qasper").render(parse_row(fields, "here"))
    assert prompt.startswith("Below is a scientific article and then a question about it.")
    assert "Article: Text 7. Ann wrote it. {context} and {braces} stay.\n\nReply to" in prompt
    assert prompt.endswith("\n\nQuestion: Who wrote {context}?\n\nAnswer:")


def test_code_prompt_continues_the_code(row):
    fields = row("repobench-p", context="a = 1\n", input="b = 2\n")
    prompt = LONGBENCH_TASKS.get("repobench-p").render(parse_row(fields, "here"))
    assert prompt == "Write the line of code that follows.\na = 1\nb = 2\nNext line of code:\n"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"prompt": ["{context} {question}"]}, r"found slots \['context', 'question'\]"),
        ({"prompt": ["{input} {context}"]}, "expected context or context, input"),
        ({"prompt": ["nothing"]}, r"found slots \[\]"),
        ({"metric": "f1"}, "metric: found 'f1'"),
        ({"max_new_tokens": 0}, "max_new_tokens: found 0"),
        ({"prompts": []}, r"missing or unknown fields \['prompts'\]"),
    ],
)
def test_wrong_entry_in_the_file_is_refused(tmp_path, change, expected):
    entry = json.loads(FILE.read_text(encoding="utf-8"))["qasper"] | change
    (tmp_path / "tasks.json").write_text(json.dumps({"qasper": entry}))
    with pytest.raises(ValueError, match=expected):
        load_tasks(tmp_path / "tasks.json")


@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        (10, "0123456789"),
        (11, "0123456789"),
        (9, "01236789"),
        (8, "01236789"),
        (7, "012789"),
        (3, "09"),
        (2, "09"),
    ],
)
def test_middle_is_cut_at_even_and_odd_budgets(budget, kept):
    text = "0123456789"
    assert truncate_middle(text, budget) == kept
    assert middle_truncation(list, "".join, budget)(text) == kept


def test_prompt_that_fits_is_not_decoded():
    def decode(tokens):
        raise AssertionError("decoded")

    assert middle_truncation(str.split, decode, 3)("a b  c") == "a b  c"


@pytest.mark.parametrize("budget", [1, 0, -1])
def test_budget_without_two_ends_is_refused(budget):
    with pytest.raises(ValueError, match=f"budget: found {budget}, expected at least 2 tokens"):
        middle_truncation(list, "".join, budget)
    with pytest.raises(ValueError, match="at least 2"):
        truncate_middle("abc", budget)
