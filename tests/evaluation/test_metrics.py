import math

import numpy as np
import pytest

from synapnet_edge.evaluation import metrics


def test_accuracy_counts_only_scored_readouts():
    predictions = np.array([[1, 2], [3, 4]])
    assert metrics.accuracy(predictions, np.array([[1, -100], [0, 4]])) == pytest.approx(2 / 3)


def test_accuracy_from_logits_takes_the_largest():
    assert metrics.accuracy_from_logits(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])) == 0.5


def test_a_batch_without_targets_is_an_error_not_a_zero():
    with pytest.raises(ValueError, match="every target is -100"):
        metrics.accuracy(np.array([1]), np.array([-100]))


def test_predictions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected predictions of shape \(2, 1\), got \(2,\)"):
        metrics.accuracy(np.array([1, 2]), np.array([[1], [2]]))


def test_mean_absolute_error_by_hand():
    assert metrics.mean_absolute_error(np.array([1, 5, 9]), np.array([2, 5, -100])) == 0.5


def test_above_guess_removes_the_level_of_the_shortcut():
    assert metrics.above_guess(0.61, 0.22) == pytest.approx(0.5)
    assert metrics.above_guess(0.1, 0.22) == 0.0
    assert math.isnan(metrics.above_guess(1.0, 1.0))
