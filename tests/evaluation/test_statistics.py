import math

import numpy as np
import pytest

from synapnet_edge.evaluation.statistics import mcnemar_exact, mean_std, t_interval, wilson_interval


def test_wilson_interval_by_hand():
    # 8 of 10 with z = 1.96: centre (0.8 + z^2/20) / (1 + z^2/10), Wilson 1927.
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_wilson_interval_of_a_perfect_score_is_not_empty():
    low, high = wilson_interval(500, 500)
    assert high == pytest.approx(1.0) and 0.99 < low < 1.0


def test_wilson_interval_refuses_impossible_counts():
    with pytest.raises(ValueError, match="got 5 of 4"):
        wilson_interval(5, 4)


def test_mean_and_deviation_over_seeds_use_n_minus_one():
    assert mean_std([1.0, 2.0, 3.0]) == pytest.approx((2.0, 1.0))
    assert math.isnan(mean_std([1.0])[1])


def test_t_interval_by_hand():
    # Three seeds: 4.3027 (t, 2 degrees of freedom) * 1 / sqrt(3).
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert math.isnan(t_interval([0.5]).low)


def test_mcnemar_counts_only_rows_that_differ():
    first = np.array([1, 1, 1, 1, 1, 0, 1], dtype=bool)
    second = np.array([0, 0, 0, 0, 0, 0, 1], dtype=bool)
    result = mcnemar_exact(first, second)
    assert (result.only_first, result.only_second) == (5, 0)
    assert result.p_value == pytest.approx(2 / 2**5)
    assert mcnemar_exact(first, first).p_value == 1.0


def test_mcnemar_refuses_results_on_different_rows():
    with pytest.raises(ValueError, match="same rows"):
        mcnemar_exact(np.ones(3, bool), np.ones(4, bool))
