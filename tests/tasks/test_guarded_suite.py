"""The guards that every guarded task must pass: what a task is worth must not leak another way."""

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import TASKS
from synapnet_edge.tasks.layout import BOS, LAYOUT, QUERY, SEP
from synapnet_edge.tasks.ruler.haystack import TAIL

BLOCK_TASKS = ["ruler/niah_single_2", "ruler/vt", "ruler/vt_1", "ruler/vt_4", "ruler/qa_1", "ruler/qa_2"]
ARGUMENTS = {"ruler/qa_1": 2, "ruler/qa_2": 3}


@pytest.fixture(scope="module", params=BLOCK_TASKS)
def task(request):
    return TASKS.get(request.param)


@pytest.fixture(scope="module")
def rows(task):
    # One read-out leaves the distribution of the evaluation rows; whole batches are built much faster.
    return task.training_batch(np.random.default_rng(21), 4000, 512, 1)


@pytest.fixture(scope="module")
def probes(task):
    """Short rows for the trained probes: (train, test)."""
    rng = np.random.default_rng(22)
    return tuple(task.training_batch(rng, n, max(128, task.min_length), 1) for n in (4000, 1000))


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


@pytest.mark.parametrize(("length", "n"), [("shortest", 500), (1024, 300), (4096, 60)])
def test_the_oracle_solves_every_row(task, length, n):
    rows = task.rows(3, n, task.min_length if length == "shortest" else length)
    assert (task.oracle(rows.input_ids) == rows.targets[:, 0]).all()


def test_labels_are_balanced_and_independent_of_depth(rows):
    labels = rows.targets[:, 0]
    assert guards.balance_p_value(labels) > 1e-3
    assert np.bincount(labels).max() / len(labels) <= _bound(1 / 64, len(labels)) + 0.003
    assert stats.spearmanr(labels, rows.meta["depth"]).pvalue > 1e-3


@pytest.mark.parametrize(("length", "n"), [(256, 2000), (1024, 1000)])
def test_no_heuristic_beats_the_stated_guess(task, length, n):
    rows = task.training_batch(np.random.default_rng(23), n, length, 1)
    context = guards.Context(rows.input_ids[:, :-TAIL])
    scores = guards.heuristic_scores(context, rows.targets[:, 0], np.random.default_rng(0))
    for name, score in scores.items():
        assert score <= _bound(task.guess(length), n), name


def test_the_query_alone_says_nothing(task, probes):
    train, test = probes
    labels = train.targets[:, 0], test.targets[:, 0]
    bound = _bound(task.chance(256), len(test))
    for place in range(-1 - ARGUMENTS.get(task.name, 1), -1):
        asked = train.input_ids[:, place], test.input_ids[:, place]
        assert guards.table_probe((asked[0], labels[0]), (asked[1], labels[1])) <= bound
    features = [guards.hashed_positions(part.input_ids[:, -TAIL:], buckets=32) for part in probes]
    assert guards.logistic_probe((features[0], labels[0]), (features[1], labels[1]), iterations=20) <= bound


def test_a_bag_of_the_context_stays_at_the_guess(task, probes):
    # The query is masked, so this is the context-only guard and the bag-of-tokens guard in one.
    train, test = (
        (guards.bag_of_tokens(part.input_ids[:, :-TAIL], 64), part.targets[:, 0]) for part in probes
    )
    score = guards.logistic_probe(train, test, iterations=30)
    assert score <= _bound(task.guess(probes[0].input_ids.shape[1]), 1000)


def test_permuting_ids_of_one_kind_leaves_labels_unchanged(task, rows):
    rng = np.random.default_rng(4)
    table = np.arange(LAYOUT.vocab_size)
    for low, high in [
        (LAYOUT.relation_start, LAYOUT.name_start),
        (LAYOUT.name_start, LAYOUT.name_stop),
        (LAYOUT.background_start, LAYOUT.vocab_size),
    ]:
        table[low:high] = rng.permutation(table[low:high])
    assert (task.oracle(table[rows.input_ids[:300]]) == rows.targets[:300, 0]).all()


def test_splits_and_lengths_share_no_row(task):
    length = task.min_length
    hashes = [
        guards.row_hashes(task.rows(9, 100, length, split).input_ids)
        for split in ("train", "test", "calibration")
    ]
    assert len(set.union(*hashes)) == 300
    assert (task.rows(9, 1, 256).input_ids[0, :32] != task.rows(9, 1, 300).input_ids[0, :32]).any()


def test_the_row_ends_in_background_and_the_query_block(task, rows):
    block = ARGUMENTS.get(task.name, 1) + 2
    tail = rows.input_ids[:, -TAIL:]
    assert (rows.input_ids[:, 0] == BOS).all()
    assert (tail[:, :-block] >= LAYOUT.background_start).all()
    assert (tail[:, -block] == QUERY).all() and (tail[:, -1] == SEP).all()
    assert (rows.input_ids == QUERY).sum() == len(rows)


def test_records_stand_before_the_tail_and_never_overlap(task, rows):
    starts = np.sort(rows.meta["needle_pos"], axis=1)
    assert (starts[:, 0] >= 1).all() and (starts[:, -1] + task.needle_width <= 512 - TAIL).all()
    assert (np.diff(starts, axis=1) >= task.needle_width).all()


def test_records_stand_anywhere_with_equal_probability(rows):
    starts = rows.meta["needle_pos"]
    picked = np.random.default_rng(5).integers(0, starts.shape[1], (len(starts), 1))
    depth = np.take_along_axis(np.sort(starts, axis=1), picked, 1)[:, 0] / (512 - TAIL)
    assert stats.kstest(depth, "uniform").pvalue > 1e-3


def test_a_sequence_one_token_too_short_is_refused(task):
    if task.min_length > 32:
        with pytest.raises(ValueError, match=f"at least {task.min_length} tokens, got {task.min_length - 1}"):
            task.rows(0, 1, task.min_length - 1)
