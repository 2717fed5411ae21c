import hashlib

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import IGNORE
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler import NiahMultiquery, NiahMultivalue
from synapnet_edge.tasks.ruler.haystack import TAIL, is_answer
from synapnet_edge.tasks.ruler.niah_multi import ASKED, PAIRS, WIDE_TAIL
from synapnet_edge.tasks.sets import recall_at

N = 4000
# First bytes of the hash of these rows. A change here is a change of every score: raise the task's version.
GOLDEN = {NiahMultivalue: "8ac142e000525e41", NiahMultiquery: "01474261396fc0cb"}


@pytest.fixture(scope="module")
def multivalue():
    return NiahMultivalue().training_batch(np.random.default_rng(1), N, 512, 1)


@pytest.fixture(scope="module")
def multiquery():
    return NiahMultiquery().training_batch(np.random.default_rng(1), N, 512, 1)


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


def _bigram_votes(context):
    """How often every answer follows a name, [B, 64], ties broken at random."""
    row, column = np.nonzero(context.bigram_mask)
    votes = np.random.default_rng(0).random((len(context.body), 64)) / 2
    np.add.at(votes, (row, context.body[row, column] - ANSWER_START), 1)
    return votes


@pytest.mark.parametrize(("length", "n"), [("shortest", 300), (512, 300), (1024, 200), (4096, 20)])
def test_the_oracles_solve_every_row(length, n):
    task = NiahMultivalue()
    rows = task.rows(3, n, task.min_length if length == "shortest" else length)
    assert (task.oracle(rows.input_ids) == rows.target_set).all()
    assert (rows.target_set.sum(1) == 4).all() and rows.members == 4
    assert rows.target_set[np.arange(n), rows.targets[:, 0]].all()
    task = NiahMultiquery()
    rows = task.rows(3, n, task.min_length if length == "shortest" else length)
    assert rows.targets.shape == (n, ASKED)
    assert (task.oracle(rows.input_ids) == rows.targets).all()


def test_labels_are_balanced_and_independent_of_depth(multivalue, multiquery):
    for batch in (multivalue, multiquery):
        for labels in batch.targets.T:
            assert guards.balance_p_value(labels) > 1e-3
            assert stats.spearmanr(labels, batch.meta["depth"]).pvalue > 1e-3
    assert guards.balance_p_value(np.nonzero(multivalue.target_set)[1]) > 1e-3
    # Asked pairs stand anywhere, in any order.
    place = multiquery.meta["target_needle"] / (512 - WIDE_TAIL)
    assert all(stats.kstest(column, "uniform").pvalue > 1e-3 for column in place.T)
    assert abs((np.diff(place, axis=1) > 0).mean() - 0.5) < 0.03


@pytest.mark.parametrize("length", [256, 1024])
def test_no_heuristic_beats_the_stated_guess_of_multivalue(length):
    task = NiahMultivalue()
    rows = task.training_batch(np.random.default_rng(2), N, length, 1)
    context = guards.Context(rows.input_ids[:, :-TAIL])
    counts = guards.bag_of_tokens(context.body)[:, :64] + np.random.default_rng(0).random((N, 64))
    for scores in (_bigram_votes(context), counts, -counts):
        assert recall_at(scores, rows.target_set).mean() <= _bound(task.guess(length), N)
    rng = np.random.default_rng(1)
    for name, solve in guards.HEURISTICS.items():
        hit = rows.target_set[np.arange(N), np.clip(solve(context, rng), 0, 63)]
        assert hit.mean() / 4 <= task.guess(length), name


def test_the_guess_of_multivalue_is_what_shared_values_reach():
    task = NiahMultivalue()
    rows = task.training_batch(np.random.default_rng(2), N, 128, 1)
    places = rows.meta["needle_pos"] + 1
    votes = np.random.default_rng(0).random((N, 64)) / 2
    labels = np.take_along_axis(rows.input_ids, places, 1) - ANSWER_START
    np.add.at(votes, (np.arange(N)[:, None], labels), 1)
    assert recall_at(votes, rows.target_set).mean() == pytest.approx(task.guess(128), abs=0.01)
    assert task.guess(1024) == pytest.approx(0.316, abs=0.002)


@pytest.mark.parametrize(("length", "level"), [(256, None), (1024, 0.164)])
def test_no_heuristic_beats_the_stated_guess_of_multiquery(length, level):
    task = NiahMultiquery()
    rows = task.training_batch(np.random.default_rng(3), N, length, 1)
    context = guards.Context(rows.input_ids[:, :-WIDE_TAIL])
    bound = _bound(task.guess(length), N)
    for labels in rows.targets.T:
        scores = guards.heuristic_scores(context, labels, np.random.default_rng(0))
        assert max(scores.values()) <= bound, scores
        top = (_bigram_votes(context).argmax(1) == labels).mean()
        assert top <= bound
    assert top == pytest.approx(task.guess(length), abs=0.025)
    assert level is None or task.guess(length) == pytest.approx(level, abs=0.002)


def test_the_query_or_the_context_alone_says_nothing(multivalue, multiquery):
    rng = np.random.default_rng(22)
    for task, tail in ((NiahMultivalue(), TAIL), (NiahMultiquery(), WIDE_TAIL)):
        train, test = (task.training_batch(rng, n, 64, 1) for n in (4000, 1000))
        labels = train.targets[:, -1], test.targets[:, -1]
        asked = train.input_ids[:, -2], test.input_ids[:, -2]
        assert guards.table_probe((asked[0], labels[0]), (asked[1], labels[1])) <= _bound(1 / 64, 1000)
        features = [guards.hashed_positions(part.input_ids[:, -tail:], buckets=16) for part in (train, test)]
        score = guards.logistic_probe((features[0], labels[0]), (features[1], labels[1]), iterations=10)
        assert score <= _bound(1 / 64, 1000)
        bags = [guards.bag_of_tokens(part.input_ids[:, :-tail], 32) for part in (train, test)]
        score = guards.logistic_probe((bags[0], labels[0]), (bags[1], labels[1]), iterations=20)
        # One of four right answers is the label.
        bound = task.guess(64) if tail == WIDE_TAIL else 2 / 5 / 4
        assert score <= _bound(bound, 1000)


def test_a_name_has_four_distinct_values_and_no_background_adds_one():
    crowded = NiahMultivalue(Layout(names=8))
    rows = crowded.training_batch(np.random.default_rng(5), 300, 1024, 1)
    for ids, starts in zip(rows.input_ids, rows.meta["needle_pos"], strict=True):
        names, counts = np.unique(ids[starts], return_counts=True)
        assert counts.tolist() == [4] * 5
        assert all(len(set(ids[starts[ids[starts] == name] + 1].tolist())) == 4 for name in names)
        followed = np.flatnonzero(is_answer(ids[1:], crowded.layout))
        assert set(followed[np.isin(ids[followed], names)].tolist()) == set(starts.tolist())


def test_changing_a_value_of_the_asked_name_changes_the_set_and_other_changes_do_not(multivalue):
    task = NiahMultivalue()
    for index in range(100):
        ids, answers = multivalue.input_ids[index].copy(), multivalue.target_set[index]
        own = multivalue.meta["target_needle"][index]
        others = np.setdiff1d(multivalue.meta["needle_pos"][index], own)
        ids[others + 1] = ANSWER_START + (ids[others + 1] - ANSWER_START + 1) % 64
        assert (task.oracle(ids[None])[0] == answers).all()
        new, old = np.flatnonzero(~answers)[0], ids[own[2] + 1] - ANSWER_START
        ids[own[2] + 1] = ANSWER_START + new
        expected = answers.copy()
        expected[[old, new]] = False, True
        assert (task.oracle(ids[None])[0] == expected).all()


def test_changing_one_asked_value_changes_one_of_the_four_labels(multiquery):
    task = NiahMultiquery()
    ids, labels = multiquery.input_ids[:200].copy(), multiquery.targets[:200]
    for row, starts, own in zip(
        ids, multiquery.meta["needle_pos"], multiquery.meta["target_needle"], strict=False
    ):
        others = np.setdiff1d(starts, own)
        row[others + 1] = ANSWER_START + (row[others + 1] - ANSWER_START + 1) % 64
    assert (task.oracle(ids) == labels).all()
    place = multiquery.meta["target_needle"][:200, 2] + 1
    ids[np.arange(200), place] = ANSWER_START + (labels[:, 2] + 1) % 64
    expected = labels.copy()
    expected[:, 2] = (labels[:, 2] + 1) % 64
    assert (task.oracle(ids) == expected).all()


def test_four_different_names_are_asked_at_the_end(multiquery):
    tail = multiquery.input_ids[:, -WIDE_TAIL:]
    assert (tail[:, :4] >= LAYOUT.background_start).all()
    assert (tail[:, 4::3] == QUERY).all() and (tail[:, 6::3] == SEP).all()
    assert (np.diff(np.sort(tail[:, 5::3], axis=1), axis=1) > 0).all()
    assert (multiquery.target_pos == [502, 505, 508, 511]).all()
    assert multiquery.meta["needle_pos"].shape == (N, PAIRS)
    assert (multiquery.meta["needle_pos"] + 1 < 512 - WIDE_TAIL).all()


def test_permuting_ids_of_one_kind_leaves_labels_unchanged(multivalue, multiquery):
    rng, table = np.random.default_rng(4), np.arange(LAYOUT.vocab_size)
    for low, high in [(LAYOUT.name_start, LAYOUT.name_stop), (LAYOUT.background_start, LAYOUT.vocab_size)]:
        table[low:high] = rng.permutation(table[low:high])
    ids = multivalue.input_ids[:300]
    assert (NiahMultivalue().oracle(table[ids]) == multivalue.target_set[:300]).all()
    ids = multiquery.input_ids[:300]
    assert (NiahMultiquery().oracle(table[ids]) == multiquery.targets[:300]).all()


def test_every_readout_is_the_task_on_its_prefix():
    for task in (NiahMultivalue(), NiahMultiquery()):
        for length in (task.min_length, 300):
            batch = task.training_batch(np.random.default_rng(length), 60, length, 8)
            assert batch.targets.shape == (60, 8)
            for ids, targets, places in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
                for target, place in zip(targets, places, strict=True):
                    if target == IGNORE:
                        assert place == length - 1
                        continue
                    prefix = ids[None, : place + 1]
                    assert ids[place] == SEP and ids[place - 2] == QUERY
                    if isinstance(task, NiahMultivalue):
                        assert task.oracle(prefix)[0, target]
                    else:
                        assert task.look_up(prefix, ids[None, place - 1])[0] == target
        assert (task.training_batch(np.random.default_rng(1), 60, 1024, 8).targets != IGNORE).mean() > 0.9


def test_the_trained_member_is_uniform_among_those_of_the_set(multivalue):
    members = np.nonzero(multivalue.target_set)[1].reshape(N, 4)
    share = (members == multivalue.targets).mean(0)
    assert np.abs(share - 0.25).max() < 5 * np.sqrt(0.1875 / N)


@pytest.mark.parametrize("kind", list(GOLDEN))
def test_rows_are_those_of_their_version(kind):
    task = kind()
    ids = task.rows(5, 6, 256).input_ids
    assert hashlib.sha256(ids.tobytes()).hexdigest().startswith(GOLDEN[kind])
    assert (task.row(5, 4, 256).input_ids[0] == ids[4]).all()
    assert len(guards.row_hashes(np.concatenate([ids, task.rows(5, 6, 256, "train").input_ids]))) == 12


def test_layouts_with_too_few_names_are_refused():
    with pytest.raises(ValueError, match="needs 5 names, only 4 are available"):
        NiahMultivalue(Layout(names=4))
    with pytest.raises(ValueError, match="needs more than 8 names, only 8 are available"):
        NiahMultiquery(Layout(names=8))
