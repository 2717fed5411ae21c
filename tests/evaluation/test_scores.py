"""Row scores by hand, and the interval of their mean."""

import math

import numpy as np
import pytest

from synapnet_edge.evaluation.scores import METRICS, above_guess, mean_interval
from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.tasks import TASKS
from synapnet_edge.tasks.base import IGNORE, TaskBatch
from synapnet_edge.tasks.sets import with_set


def one_hot(classes, width=8):
    return np.eye(width)[np.asarray(classes)]


def rows(targets):
    targets = np.array(targets)
    return TaskBatch(np.zeros((len(targets), 9), np.int64), targets, np.full_like(targets, 8))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("accuracy", [2 / 3, 0.5]),
        ("absolute_error", [2 / 3, 1.5]),
        ("exact_match", [0.0, 0.0]),
        ("edit_similarity", [2 / 3, 0.5]),
        ("rouge_l", [2 / 3, 0.5]),
    ],
)
def test_scores_of_rows_leave_out_read_outs_that_are_not_there(metric, expected):
    batch = rows([[1, 2, 3], [IGNORE, 4, 5]])
    logits = one_hot([[1, 2, 5], [7, 4, 2]])
    np.testing.assert_allclose(METRICS[metric](logits, batch), expected)


@pytest.mark.parametrize("metric", ["accuracy", "absolute_error", "exact_match"])
def test_a_row_without_targets_is_an_error_not_a_zero(metric):
    with pytest.raises(ValueError, match="every target is -100"):
        METRICS[metric](one_hot([[1], [2]]), rows([[1], [IGNORE]]))


def test_above_guess_removes_the_level_of_the_shortcut():
    assert above_guess(0.61, 0.22) == pytest.approx(0.5)
    assert above_guess(0.1, 0.22) == 0.0
    assert math.isnan(above_guess(1.0, 1.0))


def test_recall_looks_at_as_many_classes_as_there_are_answers():
    answers = np.zeros((2, 8), dtype=bool)
    answers[0, [1, 2]], answers[1, [3, 4, 5]] = True, True
    batch = with_set(rows([[1], [3]]), answers, 2)
    logits = np.zeros((2, 1, 8))
    logits[0, 0, [1, 7]], logits[1, 0, [3, 4, 7]] = [2, 1], [3, 2, 1]
    np.testing.assert_allclose(METRICS["recall"](logits, batch), [1 / 2, 2 / 3])


def test_every_task_names_metrics_that_exist_and_shares_come_first():
    for name in TASKS:
        metrics = TASKS.get(name).metrics
        assert set(metrics) <= set(METRICS), name
        assert metrics[0] != "absolute_error", f"{name}: chance and guess are of the first metric"


def test_interval_is_wilsons_for_right_and_wrong_and_a_bootstrap_otherwise():
    assert mean_interval(np.array([1.0] * 18 + [0.0] * 2)) == wilson_interval(18, 20)
    shares = np.random.default_rng(0).choice([0.25, 0.5, 1.0], size=400)
    low, high = mean_interval(shares)
    half = 1.96 * shares.std() / 20
    assert low == pytest.approx(shares.mean() - half, abs=0.01)
    assert high == pytest.approx(shares.mean() + half, abs=0.01)
    assert mean_interval(shares) == (low, high), "the same resamples every time"
    assert mean_interval(np.full(5, 0.5)) == (0.5, 0.5)
    with pytest.raises(ValueError, match="at least one row"):
        mean_interval(np.array([]))
