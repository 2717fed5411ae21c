import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import IGNORE, TASKS, Mixture
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.mqar import Mqar64
from synapnet_edge.tasks.ruler.haystack import is_answer, is_name

N, L = 3000, 128


@pytest.fixture(scope="module")
def task():
    return TASKS.get("mqar/mqar64")


@pytest.fixture(scope="module")
def rows(task):
    return task.training_batch(np.random.default_rng(1), N, L, 8)


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


@pytest.mark.parametrize(("length", "n"), [("shortest", 500), (128, 500), (1024, 300), (4096, 60)])
def test_the_oracle_solves_every_question(task, length, n):
    rows = task.rows(3, n, task.min_length if length == "shortest" else length)
    assert (task.oracle(rows.input_ids) == rows.targets).all()


def test_every_key_is_defined_once_and_asked_once_later(rows):
    assert (is_name(rows.input_ids, LAYOUT).sum(1) == 16).all()
    assert (is_answer(rows.input_ids, LAYOUT).sum(1) == 8).all()
    asked = np.take_along_axis(rows.input_ids, rows.target_pos, 1)
    assert (asked == np.take_along_axis(rows.input_ids, rows.meta["target_needle"], 1)).all()
    assert all(len(set(row)) == 8 for row in asked.tolist())
    assert (rows.target_pos[:, :1] > rows.meta["needle_pos"][:, -1:] + 1).all()
    assert (np.diff(rows.target_pos, axis=1) > 0).all()


def test_pairs_stand_anywhere_in_the_first_half(rows):
    starts = rows.meta["needle_pos"]
    assert (starts >= 1).all() and (starts + 2 <= L // 2).all()
    assert (np.diff(starts, axis=1) >= 2).all()
    parity = (starts % 2).mean()
    assert abs(parity - 0.5) < 0.02
    assert stats.kstest(starts[:, 3], starts[::-1, 3]).pvalue > 1e-3


def test_distances_from_the_last_pair_follow_the_power_law(task):
    single = Mqar64(pairs=1).training_batch(np.random.default_rng(2), 40000, 64, 1)
    distance = single.target_pos[:, 0] - single.meta["needle_pos"][:, -1] - 1
    counts = np.bincount(distance, minlength=33)
    # Every row has room for at least 32 places behind its pair, so these are unaffected by the end.
    share = counts[1:33] / counts[1:33].sum()
    weight = np.arange(1, 33) ** (task.power - 1)
    assert np.abs(share - weight / weight.sum()).max() < 5 * np.sqrt(0.25 / 40000)


def test_the_order_of_questions_is_independent_of_the_order_of_pairs(rows):
    rank = (rows.meta["needle_pos"][:, None, :] == rows.meta["target_needle"][:, :, None]).argmax(2)
    for column in rank.T:
        assert guards.balance_p_value(column, 8) > 1e-4


def test_labels_are_balanced_and_no_heuristic_beats_the_guess(task, rows):
    assert guards.balance_p_value(rows.targets.ravel()) > 1e-3
    context = guards.Context(rows.input_ids)
    for column in (0, 7):
        scores = guards.heuristic_scores(context, rows.targets[:, column], np.random.default_rng(0))
        for name, score in scores.items():
            assert score <= _bound(task.guess(L), N), name
        assert scores["most_frequent_answer"] == pytest.approx(task.guess(L), abs=0.03)


def test_the_key_alone_says_nothing_and_a_bag_of_the_row_stays_at_the_guess(task, rows):
    labels = rows.targets[:, 0]
    keys = np.take_along_axis(rows.input_ids, rows.target_pos, 1)[:, 0]
    half = slice(0, N // 2), slice(N // 2, N)
    table = guards.table_probe((keys[half[0]], labels[half[0]]), (keys[half[1]], labels[half[1]]))
    assert table <= _bound(task.chance(L), N // 2)
    bags = guards.bag_of_tokens(rows.input_ids, 64)
    score = guards.logistic_probe(
        (bags[half[0]], labels[half[0]]), (bags[half[1]], labels[half[1]]), iterations=30
    )
    assert score <= _bound(task.guess(L), N // 2)


def test_changing_one_value_changes_the_label_of_its_own_question_only(task, rows):
    for column in range(8):
        ids = rows.input_ids[:100].copy()
        place = rows.meta["target_needle"][:100, column] + 1
        changed = (rows.targets[:100, column] + 1) % 64
        ids[np.arange(100), place] = ANSWER_START + changed
        expected = rows.targets[:100].copy()
        expected[:, column] = changed
        assert (task.oracle(ids) == expected).all()


def test_every_question_is_the_task_on_its_prefix(task, rows):
    for ids, targets, places in zip(rows.input_ids[:50], rows.targets, rows.target_pos, strict=False):
        for index, place in enumerate(places):
            assert (task.oracle(ids[None, : place + 1])[0] == targets[: index + 1]).all()


def test_permuting_names_or_background_ids_leaves_labels_unchanged(task, rows):
    rng = np.random.default_rng(4)
    table = np.arange(LAYOUT.vocab_size)
    for low, high in [(LAYOUT.name_start, LAYOUT.name_stop), (LAYOUT.background_start, LAYOUT.vocab_size)]:
        table[low:high] = rng.permutation(table[low:high])
    assert (task.oracle(table[rows.input_ids[:300]]) == rows.targets[:300]).all()


def test_a_mixture_keeps_all_read_outs_beside_a_task_with_fewer():
    batch = Mixture({"mqar/mqar64": 1, "ruler/qa_1": 1}).batch(np.random.default_rng(5), 60, 160, 3)
    assert batch.targets.shape == (60, 8)
    scored = (batch.targets != IGNORE).sum(1)
    assert (scored[batch.meta["task"] == 0] == 8).all()
    assert (scored[batch.meta["task"] == 1] <= 3).all()


def test_splits_share_no_row(task):
    hashes = [guards.row_hashes(task.rows(9, 100, 64, split).input_ids) for split in ("train", "test")]
    assert len(set.union(*hashes)) == 200


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="pairs: expected at least 1, got 0"):
        Mqar64(pairs=0)
    with pytest.raises(ValueError, match="power: expected a positive number, got 0"):
        Mqar64(power=0)
    with pytest.raises(ValueError, match="8 pairs need 8 names, only 7"):
        Mqar64(layout=Layout(names=7))
    with pytest.raises(ValueError, match="at least 34 tokens, got 33"):
        Mqar64().rows(0, 1, 33)
