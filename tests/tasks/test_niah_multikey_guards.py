"""The guards of the guarded suite, run on niah_multikey_1: what it is worth must not leak another way."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks.layout import BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler import NiahMultikey1
from synapnet_edge.tasks.ruler.haystack import TAIL, is_answer, is_name

PAIRS = [4, 8]


@pytest.fixture(scope="module", params=PAIRS)
def task(request):
    return NiahMultikey1(request.param)


@pytest.fixture(scope="module")
def rows(task):
    return task.rows(21, 2000, 1024)


@pytest.fixture(scope="module")
def probes(task):
    """Short rows for the trained probes: (train, test)."""
    return task.rows(21, 4000, 256, "train"), task.rows(21, 1000, 256)


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


@pytest.mark.parametrize(("length", "n"), [(32, 500), (512, 500), (1024, 500), (4096, 500)])
def test_the_oracle_solves_every_row(task, length, n):
    rows = task.rows(3, n, length)
    assert (task.oracle(rows.input_ids) == rows.targets[:, 0]).all()


def test_labels_are_balanced_and_independent_of_depth(rows):
    labels = rows.targets[:, 0]
    assert guards.balance_p_value(labels) > 1e-3
    assert np.bincount(labels).max() / len(labels) <= _bound(1 / 64, len(labels)) + 0.005
    assert stats.spearmanr(labels, rows.meta["depth"]).pvalue > 1e-3
    assert stats.kstest(rows.meta["depth"], "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("length", "n"), [(512, 2000), (1024, 2000), (4096, 600)])
def test_no_heuristic_beats_the_stated_guess(task, length, n):
    rows = task.rows(22, n, length)
    context = guards.Context(rows.input_ids[:, :-TAIL])
    scores = guards.heuristic_scores(context, rows.targets[:, 0], np.random.default_rng(0))
    for name, score in scores.items():
        assert score <= _bound(task.guess(length), n), name


def test_the_guess_is_the_documented_level():
    assert NiahMultikey1(4).guess(1024) == pytest.approx(0.22, abs=0.005)
    assert NiahMultikey1(8).guess(1024) == pytest.approx(0.13, abs=0.005)


def test_the_query_alone_says_nothing(task, probes):
    train, test = probes
    labels = train.targets[:, 0], test.targets[:, 0]
    tails = [part.input_ids[:, -TAIL:] for part in probes]
    bound = _bound(task.chance(256), len(test))
    assert guards.table_probe((tails[0][:, -2], labels[0]), (tails[1][:, -2], labels[1])) <= bound
    features = [guards.hashed_positions(tail) for tail in tails]
    assert guards.logistic_probe((features[0], labels[0]), (features[1], labels[1])) <= bound


def test_a_bag_of_the_context_stays_at_the_guess(task, probes):
    # The query is masked, so this is the context-only guard and the bag-of-tokens guard in one.
    train, test = probes
    bags = [guards.bag_of_tokens(part.input_ids[:, :-TAIL]) for part in probes]
    score = guards.logistic_probe((bags[0], train.targets[:, 0]), (bags[1], test.targets[:, 0]))
    assert score <= _bound(task.guess(256), len(test))


def test_the_bag_probe_is_strong_enough_to_find_a_leak(task, probes):
    train, test = ((guards.bag_of_tokens(part.input_ids[:, :-TAIL]), part.targets[:, 0]) for part in probes)
    for features, labels in (train, test):
        features[np.arange(len(labels)), labels] += 2  # every answer occurs twice more than it should
    assert guards.logistic_probe(train, test) > _bound(task.guess(256), 1000) + 0.1


def test_changing_the_asked_value_changes_the_label_and_other_changes_do_not(task, rows):
    ids, labels = rows.input_ids[:200].copy(), rows.targets[:200, 0]
    target, needles = rows.meta["target_needle"][:200], rows.meta["needle_pos"][:200]
    np.put_along_axis(ids, target + 1, 5 + (labels[:, None] + 1) % 64, 1)
    assert (task.oracle(ids) == (labels + 1) % 64).all()
    for row, places, own in zip(ids, needles, target, strict=True):
        other = places[places != own[0]]
        row[other + 1] = 5 + (row[other + 1] - 4) % 64
    assert (task.oracle(ids) == (labels + 1) % 64).all()


def test_asking_another_planted_name_returns_its_value(task, rows):
    ids = rows.input_ids[:200].copy()
    for index in range(task.pairs):
        ids[:, -2] = np.take_along_axis(ids, rows.meta["needle_pos"][:200, index : index + 1], 1)[:, 0]
        assert (task.oracle(ids) == rows.meta["candidates"][:200, index]).all()


def test_permuting_names_or_background_ids_leaves_labels_unchanged(task, rows):
    rng = np.random.default_rng(4)
    table = np.arange(LAYOUT.vocab_size)
    table[LAYOUT.name_start : LAYOUT.name_stop] = rng.permutation(table[LAYOUT.name_start : LAYOUT.name_stop])
    table[LAYOUT.background_start :] = rng.permutation(table[LAYOUT.background_start :])
    assert (task.oracle(table[rows.input_ids[:300]]) == rows.targets[:300, 0]).all()


def test_splits_and_lengths_share_no_row(task):
    hashes = [
        guards.row_hashes(task.rows(9, 200, 64, split).input_ids)
        for split in ("train", "test", "calibration")
    ]
    assert all(len(part) == 200 for part in hashes)
    assert len(set.union(*hashes)) == 600
    assert (task.rows(9, 1, 128).input_ids[0, :32] != task.rows(9, 1, 256).input_ids[0, :32]).any()


def test_decoy_rates_are_equal_at_every_length(task):
    for length, n in [(512, 300), (4096, 60)]:
        rows = task.rows(6, n, length)
        body = rows.input_ids[:, 1:-TAIL].copy()
        places = rows.meta["needle_pos"] - 1
        np.put_along_axis(body, places, LAYOUT.background_start, 1)
        np.put_along_axis(body, places + 1, LAYOUT.background_start, 1)
        expected = (body.size - 2 * task.pairs * n) / 32
        for found in (is_answer(body, LAYOUT).sum(), is_name(body, LAYOUT).sum()):
            assert abs(found - expected) < 5 * np.sqrt(expected)


def test_the_row_ends_in_background_query_name_separator(task, rows):
    tail = rows.input_ids[:, -TAIL:]
    assert (rows.input_ids[:, 0] == BOS).all()
    assert (tail[:, :5] >= LAYOUT.background_start).all()
    assert (tail[:, 5] == QUERY).all() and is_name(tail[:, 6], LAYOUT).all() and (tail[:, 7] == SEP).all()
    assert (rows.meta["needle_pos"] + 1 < 1024 - TAIL).all()


def test_records_never_overlap_and_no_planted_name_begins_a_second_record(task):
    # Few names make accidents certain, so the redraw is what keeps the rows clean.
    crowded = NiahMultikey1(task.pairs, Layout(names=12))
    rows = crowded.rows(2, 200, 512)
    for ids, starts in zip(rows.input_ids, rows.meta["needle_pos"], strict=True):
        assert all(after - before >= 2 for before, after in pairwise(sorted(starts.tolist())))
        names = set(ids[starts].tolist())
        assert len(names) == task.pairs
        followed = np.flatnonzero(is_answer(ids[1:], crowded.layout))
        assert {p for p in followed.tolist() if ids[p] in names} == set(starts.tolist())


def test_a_task_that_exhausts_the_names_says_so():
    with pytest.raises(ValueError, match="8 pairs need more than 8 names, only 8"):
        NiahMultikey1(8, Layout(names=8))
