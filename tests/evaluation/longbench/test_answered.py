"""A stopped run goes on where it was, and answers of another run are never mixed in."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.evaluation.longbench import open_source, run_longbench
from synapnet_edge.evaluation.longbench.answered import Answered

RUN = {"system": "ann", "samples": None}


class Stopped(Exception):
    """Stands for Ctrl-C."""


def run(folder, path, generate, **settings):
    settings = {"system": "ann", "tasks": ["qasper", "trec"], "progress": False, "answered": path, **settings}
    return run_longbench(generate, open_source(folder), **settings)


def test_a_stopped_run_asks_only_what_is_missing_and_ends_with_the_same_tables(folder, tmp_path):
    path, asked = tmp_path / "new" / "answers.jsonl", []

    def stops(prompt, tokens):
        if len(asked) == 3:
            raise Stopped
        asked.append(prompt)
        return "Ann"

    def answers(prompt, tokens):
        asked.append(prompt)
        return "Ann"

    with pytest.raises(Stopped):
        run(folder, path, stops)
    resumed = run(folder, path, answers)
    assert len(asked) == len(set(asked)) == 5  # two rows of qasper, three of trec, each asked once
    whole = run(folder, None, answers)
    for found, expected in zip(resumed, whole, strict=True):
        pd.testing.assert_frame_equal(found, expected)


def test_a_line_that_was_cut_is_asked_again(tmp_path):
    path = tmp_path / "answers.jsonl"
    first = Answered(path, RUN)
    first.add("qasper", {"row": 0, "score": 1.0})
    first.add("qasper", {"row": 1, "score": 0.5})
    path.write_bytes(path.read_bytes()[:-7])
    second = Answered(path, RUN)
    assert len(second) == 1 and second.get("qasper", 1) is None
    second.add("qasper", {"row": 1, "score": 0.5})
    assert Answered(path, RUN).get("qasper", 1) == {"row": 1, "score": 0.5}


def test_answers_of_another_run_are_refused(folder, tmp_path):
    path = tmp_path / "answers.jsonl"
    run(folder, path, lambda prompt, tokens: "Ann")
    with pytest.raises(
        ValueError, match=r"answers\.jsonl: found answers of the run .*'ann'.*expected .*'bob'"
    ):
        run(folder, path, lambda prompt, tokens: "Bob", system="bob")


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not JSON\n")
    with pytest.raises(ValueError, match="notes.txt: found a line that is no JSON"):
        Answered(path, RUN)
