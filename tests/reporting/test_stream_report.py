"""The long stream's report: what counts, how flatness is measured, and verdicts from the tables."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.reporting.stream import accuracy, at_end, flatness, goals, write_stream_report

PLAN = {"tokens": 4000, "depths": 3, "budget_mb": 16, "policy": "baee", "classifier": True, "settled": 1000}


@pytest.fixture
def answers():
    rows = [
        dict(model="reference", seed=seed, variant="fp16", depth=depth, tokens=tokens, held_layers=held)
        | dict(distance=1, label=1, predicted=int(right), correct=right)
        for seed in (1, 2)
        for tokens, depth, right, held in (
            (2000, 0.0, True, 6),
            (4000, 0.0, seed == 1, 0),
            (4000, 0.5, True, 2),
            (4000, 1.0, True, 6),
        )
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def trace():
    speeds = {500: 900.0, 1000: 100.0, 2000: 100.0, 3000: 98.0, 4000: 95.0}
    rows = [
        dict(model="reference", seed=1, variant="fp16", tokens=tokens, seconds=60.0, tokens_per_second=speed)
        | dict(cpu_seconds=59.0 if tokens < 4000 else 57.0)
        | dict(
            rss_bytes=(90 if tokens < 1000 else 100 + tokens / 1000) * 1e6, store_bytes=10, budget_bytes=11
        )
        for tokens, speed in speeds.items()
    ]
    return pd.DataFrame(rows)


def test_only_the_last_question_of_a_stream_is_its_end(answers):
    end = accuracy(at_end(answers), ["model", "variant"]).iloc[0]
    assert (end["n"], end["seeds"]) == (6, 2) and end["accuracy"] == pytest.approx(5 / 6)
    assert end["ci_low"] < 5 / 6 < end["ci_high"] and end["held"] == pytest.approx(4 / 6)


def test_flatness_leaves_out_what_comes_before_the_stream_has_settled(trace):
    flat = flatness(trace, 1000).iloc[0]
    assert flat["windows"] == 4
    assert flat["rss_spread"] == pytest.approx(104 / 101 - 1)
    assert flat["speed_drift"] == pytest.approx(-0.05)
    assert flat["cpu_drift"] == pytest.approx(0.95 * 59 / 57 - 1)
    nothing = flatness(trace, 10**6).iloc[0]
    assert nothing["windows"] == 0 and pd.isna(nothing["rss_spread"]) and pd.isna(nothing["speed_drift"])


def test_goals_are_judged_by_accuracy_and_by_the_worst_seed(answers, trace):
    worse = trace.assign(seed=2, rss_bytes=trace["rss_bytes"] * (1 + trace["tokens"] / 20000))
    end = accuracy(at_end(answers), ["model", "variant"])
    found = goals(end, flatness(pd.concat([trace, worse]), 1000))
    assert [goal.met for goal in found] == [False, False, True]
    unknown = goals(end, flatness(trace, 10**6))
    assert [goal.met for goal in unknown] == [False, None, None]


def test_report_states_the_unit_of_the_budget_and_every_number(answers, trace, tmp_path):
    write_stream_report(answers, trace, {"stream": PLAN}, tmp_path / "stream.md")
    page = (tmp_path / "stream.md").read_text(encoding="utf-8")
    for part in ("16 MiB (2^20 bytes) per stream", "retention classifier", "0.833", "-5.0%", "10 of 11"):
        assert part in page
