import numpy as np
import pytest

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import TASKS

RNG = np.random.default_rng(0)
A, B, C = 5, 6, 7  # answers of classes 0, 1, 2
X, Y = 117, 118  # names
W = 2000  # background


def _solve(solver, *body):
    return int(solver(guards.Context(np.array([body])), RNG)[0])


def test_positional_heuristics_pick_the_first_and_the_last_answer():
    assert _solve(guards.first_answer, W, B, W, A) == 1
    assert _solve(guards.last_answer, W, B, W, A, W) == 0


def test_frequency_heuristics_pick_the_extremes_among_present_answers():
    assert _solve(guards.most_frequent_answer, A, C, W, C, B) == 2
    assert _solve(guards.rarest_answer, A, A, W, B) == 1


def test_bigram_heuristic_ignores_answers_without_a_name():
    assert _solve(guards.any_bigram, A, W, A, X, C, A) == 2


def test_most_frequent_name_reads_the_record_of_that_name():
    assert _solve(guards.most_frequent_name, X, A, W, Y, W, Y, B, W, Y) == 1


def test_window_heuristic_does_not_see_beyond_its_window():
    body = [X, C, *[W] * 70, Y, A]
    assert _solve(guards.window_bigram(64), *body) == 0


def test_random_answer_is_uniform_over_occurrences():
    body = np.tile([A, A, A, B], (4000, 1))
    share = (guards.random_answer(guards.Context(body), np.random.default_rng(1)) == 0).mean()
    assert share == pytest.approx(0.75, abs=0.04)


def test_a_context_without_answers_gives_a_class_anyway():
    labels = guards.random_answer(guards.Context(np.full((500, 8), W)), np.random.default_rng(2))
    assert labels.min() >= 0 and labels.max() < 64 and len(set(labels.tolist())) > 40


def test_balance_sees_a_favourite_class():
    uniform = np.random.default_rng(3).integers(0, 64, 4000)
    assert guards.balance_p_value(uniform) > 1e-3
    assert guards.balance_p_value(np.where(np.arange(4000) % 10 == 0, 0, uniform)) < 1e-6


def test_probes_find_a_planted_dependence_and_nothing_in_noise():
    rng = np.random.default_rng(4)
    tokens = rng.integers(117, 133, (1500, 3))
    labels = tokens[:, 1] - 117
    features = guards.hashed_positions(tokens)
    train, test = slice(0, 1000), slice(1000, None)
    assert guards.logistic_probe((features[train], labels[train]), (features[test], labels[test])) > 0.8
    assert guards.table_probe((tokens[train, 1], labels[train]), (tokens[test, 1], labels[test])) == 1.0
    noise = rng.integers(0, 16, 1500)
    assert guards.logistic_probe((features[train], noise[train]), (features[test], noise[test])) < 0.15


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        ("reference/niah_single", "random_answer"),
        ("reference/variable_track", "random_answer"),
        ("reference/snia", "random_answer"),
        ("reference/ron", "last_answer"),
        ("reference/adn", "last_answer"),
        ("reference/memory_pressure_niah", "most_frequent_name"),
        ("reference/fa", "random_answer"),
        ("reference/niah_multi_key", "most_frequent_answer"),
        ("reference/mkn", "most_frequent_answer"),
    ],
)
def test_the_shortcut_a_reference_task_states_is_the_one_measured(name, solver):
    task, n = TASKS.get(name), 1500
    rows = task.rows(31, n, 1024)
    start = getattr(task, "value_start", 5)
    context = guards.Context(rows.input_ids[:, : -task.tail], range(start, 69), range(5, start))
    score = (guards.HEURISTICS[solver](context, np.random.default_rng(5)) == rows.targets[:, 0]).mean()
    assert score == pytest.approx(task.guess(1024), abs=1e-9 + 4 * guards.standard_error(task.guess(1024), n))
