import numpy as np
import pytest

from synapnet_edge.registry import UnknownNameError
from synapnet_edge.tasks import IGNORE, TASKS, Mixture, suite_tasks


def test_rows_follow_the_weights_and_keep_their_readouts():
    mixture = Mixture({"reference/niah_single": 3, "reference/fa": 1})
    batch = mixture.batch(np.random.default_rng(0), 2000, 64, 4)
    assert batch.input_ids.shape == (2000, 64) and batch.targets.shape == (2000, 4)
    share = (batch.meta["task"] == 0).mean()
    assert abs(share - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 2000)
    for index, name in enumerate(mixture.weights):
        rows = batch.take(np.flatnonzero(batch.meta["task"] == index)[:20])
        assert (TASKS.get(name).oracle(rows.input_ids) == rows.targets[:, -1]).all()
        assert (rows.targets[:, -1] != IGNORE).all()


def test_rows_of_the_tasks_are_interleaved():
    batch = Mixture({"reference/snia": 1, "reference/cn": 1}).batch(np.random.default_rng(1), 200, 64, 2)
    assert 50 < np.abs(np.diff(batch.meta["task"])).sum() < 150


def test_tasks_that_do_not_fit_are_left_out_and_weights_renormalised():
    mixture = Mixture({"reference/memory_pressure_niah": 8, "reference/snia": 1, "reference/cn": 1})
    assert mixture.shares(32) == {"reference/snia": 0.5, "reference/cn": 0.5}
    assert mixture.shares(64)["reference/memory_pressure_niah"] == pytest.approx(0.8)
    assert set(mixture.batch(np.random.default_rng(2), 40, 32, 2).meta["task"]) == {1, 2}


def test_a_mixture_in_which_nothing_fits_names_needed_and_available():
    mixture = Mixture({"reference/memory_pressure_niah": 1})
    with pytest.raises(ValueError, match="needs a length of 64 tokens, got 32"):
        mixture.batch(np.random.default_rng(0), 4, 32, 1)


@pytest.mark.parametrize("weights", [{}, {"reference/fa": 0.0}, {"reference/fa": 1.0, "reference/cn": -0.5}])
def test_weights_without_a_positive_one_or_with_a_negative_one_are_refused(weights):
    with pytest.raises(ValueError, match="mixture"):
        Mixture(weights)


def test_a_weight_of_zero_leaves_the_task_out():
    mixture = Mixture({"reference/fa": 0, "reference/cn": 2})
    assert mixture.shares(64) == {"reference/cn": 1.0}
    assert set(mixture.batch(np.random.default_rng(0), 10, 64, 2).meta["task"]) == {0}


def test_a_factor_of_zero_leaves_a_task_out_of_one_batch():
    mixture = Mixture({"reference/fa": 1, "reference/cn": 1, "reference/snia": 2})
    factors = {"reference/fa": 0.0, "reference/cn": 1.0, "reference/snia": 0.5}
    assert mixture.shares(64, factors) == {"reference/cn": 0.5, "reference/snia": 0.5}
    assert set(mixture.batch(np.random.default_rng(0), 40, 64, 2, factors).meta["task"]) == {1, 2}


def test_unknown_task_names_are_answered_with_near_matches():
    with pytest.raises(UnknownNameError, match="reference/niah_single"):
        Mixture({"reference/niah_singel": 1})


def test_suites_hold_the_documented_tasks():
    assert suite_tasks("ruler_reference") == [
        "reference/niah_single", "reference/niah_multi_key", "reference/variable_track", "reference/fa",
    ]  # fmt: skip
    assert suite_tasks("needlebench_reference") == [
        f"reference/{n}" for n in ("snia", "mkn", "ron", "cn", "adn")
    ]
    assert "ruler/niah_multikey_1" in suite_tasks("ruler")
    with pytest.raises(ValueError, match="'rular'.*ruler_reference"):
        suite_tasks("rular")
