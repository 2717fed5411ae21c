"""Tables of a run: scores, buckets, skipped tasks, baselines, averages."""

from __future__ import annotations

import math
import re

import pytest

from synapnet_edge.evaluation.longbench import BASELINES, category_scores, middle_truncation, open_source
from synapnet_edge.evaluation.longbench.baselines import first_sentence
from synapnet_edge.evaluation.longbench.runner import (
    COLUMNS,
    ROW_COLUMNS,
    bucket_of,
    run_baseline,
    run_longbench,
)
from synapnet_edge.evaluation.longbench.source import MissingData
from synapnet_edge.registry import UnknownNameError

QUIET = {"progress": False}


def by_task(table):
    return {row["task"]: row for row in table.to_dict("records")}


def test_one_row_per_task_with_score_interval_and_metric(folder):
    scores, rows = run_longbench(lambda prompt, tokens: "Ann", open_source(folder), system="ann", **QUIET)
    assert list(scores) == COLUMNS and list(rows) == ROW_COLUMNS
    assert len(scores) == 21 and set(scores["bucket"]) == {"all"} and set(scores["set"]) == {"longbench"}
    qasper = by_task(scores)["qasper"]
    assert (qasper["n"], qasper["score"], qasper["metric"]) == (
        2,
        1.0,
        "f1_words",
    )  # the best of three answers
    assert qasper["status"] == "scored" and qasper["max_new_tokens"] == 128
    trec = rows[rows["task"] == "trec"]
    assert trec["score"].tolist() == [0.0, 0.0, 0.0] and trec["id"].tolist() == ["trec-0", "trec-1", "trec-2"]
    assert math.isnan(by_task(scores)["triviaqa"]["ci_low"])  # one row says nothing about the others


def test_interval_spans_the_mean_and_repeats(folder):
    def generate(prompt, tokens):
        return "z = 3"  # right for one of the two rows

    tables = [run_longbench(generate, open_source(folder), system="z", tasks=["lcc"], **QUIET) for _ in "ab"]
    cell = by_task(tables[0][0])["lcc"]
    assert 0 < cell["ci_low"] < cell["score"] < cell["ci_high"] <= 1
    assert tables[0][0].equals(tables[1][0])


def test_skipped_tasks_are_listed_with_the_reason(folder, caplog):
    scores, _ = run_baseline("empty", open_source(folder), **QUIET)
    found = by_task(scores)
    assert {task for task, row in found.items() if row["status"] == "scored"} == {
        *("qasper", "trec", "triviaqa", "lcc"),
    }
    assert "word segmentation" in found["dureader"]["reason"] and found["dureader"]["n"] == 0
    assert found["musique"]["reason"] == "no musique.jsonl in made" and math.isnan(found["musique"]["score"])
    assert "dureader is skipped: Chinese tasks need word segmentation" in caplog.text


def test_a_segmenter_brings_the_chinese_tasks_in(folder):
    settings = {"tasks": ["dureader"], "segment": list, **QUIET}
    scores, _ = run_longbench(lambda prompt, tokens: "文字", open_source(folder), system="zh", **settings)
    assert by_task(scores)["dureader"]["score"] == 1.0


@pytest.mark.parametrize(
    ("length", "bucket"), [(0, "0-4k"), (3999, "0-4k"), (4000, "4-8k"), (7999, "4-8k"), (8000, "8k+")]
)
def test_buckets_end_before_4000_and_8000(length, bucket):
    assert bucket_of(length) == bucket


def test_extended_set_is_reported_by_bucket(folder):
    scores, rows = run_longbench(
        lambda prompt, tokens: "Ann", open_source(folder), system="ann", extended=True, **QUIET
    )
    assert len(scores) == 13 * 3 and set(scores["set"]) == {"longbench_e"}
    qasper = scores[scores["task"] == "qasper"].set_index("bucket")
    assert qasper["n"].to_dict() == {"0-4k": 1, "4-8k": 2, "8k+": 2}
    lcc = scores[scores["task"] == "lcc"].set_index("bucket")
    assert lcc.loc["8k+", "status"] == "skipped" and lcc.loc["8k+", "reason"] == "no rows of length 8k+"
    assert set(rows["task"]) == {"qasper", "lcc"}


def test_prompts_are_shortened_then_wrapped_and_limits_passed_on(folder):
    seen = []
    truncate = middle_truncation(str.split, " ".join, 4)
    scores, rows = run_longbench(
        lambda prompt, tokens: seen.append((prompt, tokens)) or "",
        open_source(folder),
        system="s",
        tasks=["qasper", "triviaqa"],
        truncate=truncate,
        chat=lambda prompt: f"<user>{prompt}</user>",
        **QUIET,
    )
    assert seen[0] == ("<user>Below isit? Answer:</user>", 128)
    assert not seen[-1][0].startswith("<user>") and seen[-1][1] == 32  # few-shot prompts are continued
    assert by_task(scores)["qasper"]["truncated"] == 2 and rows["truncated"].all()


def test_only_the_first_line_of_few_shot_outputs_counts(folder):
    source, text = open_source(folder), "\nDate\nCity"
    scores, _ = run_longbench(lambda *_: text, source, system="s", tasks=["trec"], **QUIET)
    assert by_task(scores)["trec"]["score"] == pytest.approx(1 / 3)  # Date is right once in three


def test_sample_of_rows_is_drawn_with_the_seed(folder):
    chosen = [
        run_baseline("empty", open_source(folder), tasks=["trec"], samples=2, seed=seed, **QUIET)[1]["row"]
        for seed in (0, 0, 1, 2, 3, 4)
    ]
    assert chosen[0].tolist() == chosen[1].tolist() == sorted(chosen[0]) and len(chosen[0]) == 2
    assert len({tuple(rows) for rows in chosen}) > 1


def test_baselines_answer_without_a_model(folder):
    empty, _ = run_baseline("empty", open_source(folder), **QUIET)
    scored = empty[empty["status"] == "scored"]
    assert set(scored["system"]) == {"baseline:empty"} and (scored["score"] == 0).all()
    frequent, rows = run_baseline("frequent_or_first", open_source(folder), **QUIET)
    found = by_task(frequent)
    assert found["trec"]["score"] == pytest.approx(2 / 3)  # City, twice of three
    # "Text 0." against "Ann"; the first line of code is not the next one, or it is.
    assert found["qasper"]["score"] == 0.0 and found["triviaqa"]["score"] == pytest.approx(4 / 5)
    assert rows[rows["task"] == "lcc"]["score"].tolist()[1] == 1.0
    assert list(BASELINES) == ["empty", "frequent_or_first"]


@pytest.mark.parametrize(
    ("text", "words", "sentence"),
    [
        ("One 1.5 two. Three.", 9, "One 1.5 two."),
        ("  One two", 9, "One two"),
        ("One two three", 2, "One two"),
        ("One\ntwo", 9, "One\ntwo"),
        ("文字。更多", 9, "文字。"),
        ("  ", 9, ""),
    ],
)
def test_first_sentence(text, words, sentence):
    assert first_sentence(text, words) == sentence


def test_wrong_requests_are_refused(folder):
    source = open_source(folder)
    with pytest.raises(UnknownNameError, match="unknown LongBench task 'qaspr' .*did you mean qasper"):
        run_baseline("empty", source, tasks=["qaspr"], **QUIET)
    with pytest.raises(UnknownNameError, match="unknown LongBench baseline 'emty'"):
        run_baseline("emty", source, **QUIET)
    with pytest.raises(ValueError, match="found musique, which LongBench-E does not have"):
        run_baseline("empty", source, tasks=["musique"], extended=True, **QUIET)
    with pytest.raises(MissingData, match=r"found no musique\.jsonl; there are: .*qasper"):
        run_baseline("empty", source, tasks=["musique"], **QUIET)
    with pytest.raises(TypeError, match="generate: found NoneType for task qasper, expected text"):
        run_longbench(lambda *_: None, source, system="s", tasks=["qasper"], **QUIET)


def test_folder_without_any_task_is_refused(tmp_path, row, write_lines):
    write_lines(tmp_path / "other.jsonl", [row("other")])
    with pytest.raises(MissingData, match=r"found no narrativeqa\.jsonl, .*; there are: other\."):
        run_baseline("empty", open_source(tmp_path), **QUIET)


def test_total_is_the_mean_of_categories_and_they_of_their_tasks(tmp_path, row, write_lines):
    for task, answers in {"qasper": "Ann Bob", "multifieldqa_en": "BB", "hotpotqa": "AABB"}.items():
        given = [answers] if " " in answers else ["Ann" if letter == "A" else "Bob" for letter in answers]
        rows = [row(task, n, answers=[answer]) for n, answer in enumerate(given * 2)]
        write_lines(tmp_path / f"{task}.jsonl", rows)
    source, tasks = open_source(tmp_path), ["qasper", "multifieldqa_en", "hotpotqa"]
    table = category_scores(*run_longbench(lambda *_: "Ann", source, system="s", tasks=tasks, **QUIET))
    found = table.set_index("category")
    # qasper 2/3, multifieldqa_en 0, hotpotqa 1/2
    assert found["score"].to_dict() == pytest.approx(
        {"single_doc_qa": 1 / 3, "multi_doc_qa": 1 / 2, "total": (1 / 3 + 1 / 2) / 2}
    )
    assert found["tasks"].to_dict() == {"single_doc_qa": 2, "multi_doc_qa": 1, "total": 3}
    assert found.loc["total", "n"] == 14
    assert found.loc["single_doc_qa", "ci_low"] == pytest.approx(1 / 3)  # its rows do not vary
    assert found.loc["total", "ci_low"] < found.loc["total", "score"] < found.loc["total", "ci_high"]


def test_averages_name_the_tasks_they_lack(folder):
    table = category_scores(*run_baseline("empty", open_source(folder), **QUIET)).set_index("category")
    assert table.loc["code", "skipped"] == "repobench-p" and table.loc["code", "tasks"] == 1
    assert table.loc["synthetic", "tasks"] == 0 and math.isnan(table.loc["synthetic", "score"])
    assert len(table.loc["total", "skipped"].split()) == 17


def test_example_of_the_page_runs(repository, archive, capsys):
    text = (repository / "docs" / "longbench.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(example.replace("longbench/data.zip", str(archive)), "longbench.md", "exec"), names := {})
    assert set(names["rows"]["system"]) == {"my model"} and "total" in capsys.readouterr().out
