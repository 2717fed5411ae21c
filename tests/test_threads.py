"""What a job leaves on the terminal and in its log."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from synapnet_edge.headlines import headline

BEGIN = "import sys\nfrom synapnet_edge.threads import job\nfrom synapnet_edge.artifacts import write_table\n"


def run(tmp_path, body):
    code = f"{BEGIN}with job('logs/stage/a/seed1.log'):\n    {body}\n"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_a_finished_job_says_its_name_its_number_and_its_time(tmp_path):
    table = "import pandas as pd; print('inside'); write_table('t.csv', pd.DataFrame("
    table += "{'task': ['a', 'b'], 'n': [1, 1], 'score': [0.5, 1.0]}))"
    done = run(tmp_path, table)
    assert done.returncode == 0 and done.stdout == ""
    assert done.stderr.startswith("stage/a/seed1: mean score 0.750 over 2 cells, ")
    assert (tmp_path / "logs/stage/a/seed1.log").read_text() == "inside\n"


def test_a_failed_job_ends_with_the_cause_and_the_log(tmp_path):
    done = run(tmp_path, "raise ValueError('key x: found 3, expected 4')")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr == (
        "stage/a/seed1 failed: ValueError: key x: found 3, expected 4\n  log: logs/stage/a/seed1.log\n"
    )
    assert "Traceback" in (tmp_path / "logs/stage/a/seed1.log").read_text()


def test_an_interrupt_is_no_failure_of_the_job(tmp_path):
    done = run(tmp_path, "raise KeyboardInterrupt")
    assert done.returncode != 0 and "failed" not in done.stderr


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"loss": [2.0, 0.5], "accuracy": [0.1, 0.9], "tokens": [10, 2000]},
            "accuracy 0.900 after 2,000 tokens",
        ),
        ({"epoch": [1, 2], "validation_auc": [0.5, 0.91]}, "AUC 0.910"),
        (
            {"policy": ["a"] * 2, "budget": [0.5, 0.1], "accuracy": [1.0, 0.25]},
            "accuracy 0.250 at budget 0.1",
        ),
        ({"bytes": [250_000], "bits": [2], "parameters": [1_000_000]}, "0.25 MB, 2.00 bits"),
        ({"tier": ["t"], "metric": ["decode_tokens_per_second"], "value": [1500.0]}, "1,500 tokens/s"),
    ],
)
def test_each_kind_of_table_has_its_number(columns, words):
    assert words in headline(pd.DataFrame(columns))


def test_other_and_empty_tables_have_none():
    assert headline(pd.DataFrame({"x": [1]})) is None
    assert headline(pd.DataFrame({"task": [], "n": [], "score": []})) is None
