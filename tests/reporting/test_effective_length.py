"""Effective length: the longest length that is still good enough, and how sure that is."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.reporting.aggregate import scores
from synapnet_edge.reporting.effective_length import (
    MEAN,
    THRESHOLD,
    effective_lengths,
    section,
    suite_means,
)


def cells_of(by_task, variant="fp16", seeds=(42, 43, 44), n=500, suite="ruler", guess=0.05):
    """Pooled cells from task -> {length: score, or one for each seed}."""
    rows = [
        dict(suite=suite, task=task, task_version=1, model="reference", variant=variant, backend="reference")
        | dict(seed=seed, length=length, n=n, ci_low=0.0, ci_high=1.0, chance=1 / 64, guess=guess)
        | dict(score=score[i] if isinstance(score, tuple) else score)
        for task, by_length in by_task.items()
        for length, score in by_length.items()
        for i, seed in enumerate(seeds)
    ]
    return scores(pd.DataFrame(rows))


def of(table, task):
    found = table[table["task"] == task]
    assert len(found) == 1
    return found.iloc[0]


def test_it_is_the_last_length_before_the_first_failure():
    fine, weak = 0.95, 0.5
    tasks = {
        "falls": {512: fine, 1024: fine, 2048: weak, 4096: weak},
        "dips": {512: fine, 1024: weak, 2048: fine, 4096: fine},
        "never": {512: weak, 1024: weak},
        "always": {4096: fine, 512: fine},  # in any order
    }
    table = effective_lengths(cells_of(tasks))
    assert {task: of(table, task)["effective"] for task in tasks} == {
        "falls": 1024,
        "dips": 512,
        "never": 0,
        "always": 4096,
    }
    assert tuple(of(table, "falls")[["shortest", "longest", "seeds", "n"]]) == (512, 4096, 3, 1500)


def test_the_threshold_itself_is_enough_and_the_mean_is_over_seeds():
    table = effective_lengths(cells_of({"edge": {512: THRESHOLD}, "seeds": {512: (0.7, 0.9, 1.0)}}))
    assert of(table, "edge")["effective"] == 512
    assert of(table, "seeds")["effective"] == 512
    assert of(effective_lengths(cells_of({"b": {512: (0.7, 0.8, 1.0)}})), "b")["effective"] == 0


def test_the_lower_bound_needs_enough_rows():
    score = {512: 0.95, 1024: 0.88}
    few, many = (of(effective_lengths(cells_of({"t": score}, n=n)), "t") for n in (50, 5000))
    assert wilson_interval(132, 150).low < THRESHOLD < wilson_interval(13200, 15000).low
    assert (few["effective"], few["effective_low"]) == (1024, 512)
    assert (many["effective"], many["effective_low"]) == (1024, 1024)
    assert few["ci_low_longest"] == pytest.approx(wilson_interval(132, 150).low)


def test_the_mean_of_a_suite_takes_lengths_at_which_every_task_was_measured():
    cells = cells_of({"a": {512: 1.0, 1024: 0.9, 2048: 0.9}, "b": {512: 0.8, 1024: 0.7}})
    means = suite_means(cells)
    assert means["length"].tolist() == [512, 1024]
    assert means["mean"].tolist() == pytest.approx([0.9, 0.8])
    low = [wilson_interval(round(share * 1500), 1500).low for share in (0.9, 0.7)]
    half = ((0.9 - low[0]) ** 2 + (0.7 - low[1]) ** 2) ** 0.5 / 2
    assert means["ci_low"].iloc[1] == pytest.approx(0.8 - half)
    assert of(effective_lengths(cells), MEAN)["effective"] == 512
    assert suite_means(cells_of({"a": {512: 1.0}})).empty


def test_section_says_limits_and_shortcuts():
    cells = pd.concat(
        [
            cells_of({"t": {512: 0.95, 1024: 0.9}, "u": {512: 0.5, 1024: 0.1}}),
            cells_of({"t": {512: 0.95, 1024: 0.5}, "u": {512: 0.9, 1024: 0.1}}, variant="int4"),
            cells_of({"solved": {64: 1.0, 128: 1.0}, "once": {64: 1.0}}, suite="other", guess=1.0),
        ]
    )
    found = section(cells)
    assert "| task | measured | fp16 | int4 | seeds, n |" in found
    assert "| t | 512 to 1024 | ≥ 1024 (≥ 1024) | 512 (512) | 3, 1500 |" in found
    assert "| u | 512 to 1024 | < 512 (< 512) | 512 (512) | 3, 1500 |" in found
    assert "| solved * | 64 to 128 |" in found and "once" not in found
    assert f"at or above {THRESHOLD}" in found
    assert "Not measured" in section(cells.iloc[:0])
