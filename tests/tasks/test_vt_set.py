import hashlib

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import IGNORE
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, SEP, Layout
from synapnet_edge.tasks.ruler import VtSet
from synapnet_edge.tasks.ruler.haystack import TAIL
from synapnet_edge.tasks.ruler.vt_set import CHAINS, interleave
from synapnet_edge.tasks.sets import recall_at

ASSIGN, COPY = LAYOUT.marker("ASSIGN"), LAYOUT.marker("COPY")
N, L = 4000, 256
# First bytes of the hash of these rows. A change here is a change of every score: raise the task's version.
GOLDEN = {1: "374dd3acbab39c57", 2: "bd941f500d714c3b", 4: "4f3f57d93f7ecd2a"}


@pytest.fixture(scope="module", params=[1, 2, 4])
def task(request):
    return VtSet(request.param)


@pytest.fixture(scope="module")
def rows(task):
    return task.training_batch(np.random.default_rng(1), N, L, 1)


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


@pytest.mark.parametrize(("length", "n"), [("shortest", 300), (512, 300), (1024, 200), (4096, 20)])
def test_the_oracle_solves_every_row(task, length, n):
    rows = task.rows(3, n, task.min_length if length == "shortest" else length)
    assert (task.oracle(rows.input_ids) == rows.target_set).all()
    assert (rows.target_set.sum(1) == task.hops + 1).all() and rows.members == task.hops + 1
    assert rows.target_set[np.arange(n), rows.targets[:, 0]].all()


def test_a_row_holds_four_chains_with_definitions_before_uses(task, rows):
    for index in range(200):
        ids, chain = rows.input_ids[index], {}
        for marker, variable, source in ids[rows.meta["needle_pos"][index][:, None] + np.arange(3)].tolist():
            assert variable not in chain and marker in (ASSIGN, COPY)
            chain[variable] = source if marker == ASSIGN else chain[source]
        members = [variable - ANSWER_START for variable in chain if chain[variable] == ids[-2]]
        assert sorted(members) == np.flatnonzero(rows.target_set[index]).tolist()
        assert sorted(np.unique(list(chain.values()), return_counts=True)[1]) == [task.hops + 1] * CHAINS


def test_labels_are_balanced_and_independent_of_depth(rows):
    labels = rows.targets[:, 0]
    assert guards.balance_p_value(labels) > 1e-3
    assert stats.spearmanr(labels, rows.meta["depth"]).pvalue > 1e-3
    literals = rows.meta["needle_pos"][
        np.take_along_axis(rows.input_ids, rows.meta["needle_pos"], 1) == ASSIGN
    ].reshape(N, CHAINS)
    rank = (literals == rows.meta["target_needle"][:, :1]).argmax(1)
    assert np.abs(np.bincount(rank, minlength=CHAINS) / N - 1 / CHAINS).max() < 5 * np.sqrt(0.1875 / N)


def test_random_variables_and_frequent_tokens_stay_far_below_the_guess(task, rows):
    rng = np.random.default_rng(0)
    variables = np.take_along_axis(rows.input_ids, rows.meta["needle_pos"] + 1, 1) - ANSWER_START
    scores = rng.random((N, 64))
    np.put_along_axis(scores, variables, 1 + rng.random(variables.shape), 1)
    level = recall_at(scores, rows.target_set).mean()
    assert level == pytest.approx(0.25, abs=0.02)
    context = guards.Context(rows.input_ids[:, :-TAIL])
    counts = guards.bag_of_tokens(context.body)[:, :64] + rng.random((N, 64))
    assert recall_at(counts, rows.target_set).mean() <= _bound(0.25, N)
    assert recall_at(-counts, rows.target_set).mean() <= _bound(0.25, N)
    for name, solve in guards.HEURISTICS.items():
        hit = rows.target_set[np.arange(N), np.clip(solve(context, rng), 0, 63)]
        assert hit.mean() <= _bound(0.25, N), name


@pytest.mark.parametrize("hops", [1, 2])
def test_the_guess_is_what_the_best_rule_on_the_order_of_records_reaches(hops):
    """The records most often in the chain, for every order of markers and asked literal."""
    n = 200000
    chains, depths, _ = interleave(np.random.default_rng(3), n, hops)
    first = depths == 0
    asked = np.random.default_rng(4).integers(0, CHAINS, n)
    literal = np.nonzero(first)[1].reshape(n, CHAINS)[np.arange(n), asked]
    own = chains == np.take_along_axis(chains, literal[:, None], 1)
    code = (first * 2 ** np.arange(first.shape[1])).sum(1) * CHAINS + asked
    kinds, kind = np.unique(code, return_inverse=True)
    table = np.zeros((len(kinds), chains.shape[1]))
    np.add.at(table, kind[: n // 2], own[: n // 2])
    chosen = (-table).argsort(1)[:, : hops + 1][kind[n // 2 :]]
    score = np.take_along_axis(own[n // 2 :], chosen, 1).mean()
    assert score == pytest.approx(VtSet(hops).guess(L), abs=0.006)
    assert VtSet(hops).guess(L) == pytest.approx({1: 0.708, 2: 0.576}[hops], abs=0.002)


def test_the_query_or_the_context_alone_says_nothing(task):
    rng, length = np.random.default_rng(22), 128
    train, test = (task.training_batch(rng, n, length, 1) for n in (4000, 1000))
    labels = train.targets[:, 0], test.targets[:, 0]
    asked = train.input_ids[:, -2], test.input_ids[:, -2]
    assert guards.table_probe((asked[0], labels[0]), (asked[1], labels[1])) <= _bound(1 / 64, 1000)
    features = [guards.hashed_positions(part.input_ids[:, -TAIL:], buckets=32) for part in (train, test)]
    score = guards.logistic_probe((features[0], labels[0]), (features[1], labels[1]), iterations=10)
    assert score <= _bound(1 / 64, 1000)
    bags = [guards.bag_of_tokens(part.input_ids[:, :-TAIL], 32) for part in (train, test)]
    score = guards.logistic_probe((bags[0], labels[0]), (bags[1], labels[1]), iterations=20)
    # A variable of the row is the label with probability 1 / records.
    assert score <= _bound(1 / task.records, 1000)


def test_moving_a_literal_or_a_link_changes_the_set_and_other_changes_do_not(task, rows):
    for index in range(100):
        ids, answers = rows.input_ids[index].copy(), rows.target_set[index]
        own, starts = rows.meta["target_needle"][index], rows.meta["needle_pos"][index]
        other = next(place for place in starts if ids[place] == ASSIGN and place != own[0])
        moved = ids.copy()
        moved[own[-1] + 2] = ids[other + 1]  # the last copy now copies another chain
        expected = answers.copy()
        expected[ids[own[-1] + 1] - ANSWER_START] = False
        assert (task.oracle(moved[None])[0] == expected).all()
        ids[other + 2] = LAYOUT.name_start + (ids[other + 2] - LAYOUT.name_start + 1) % LAYOUT.names
        if ids[other + 2] != ids[-2]:
            assert (task.oracle(ids[None])[0] == answers).all()
        ids[own[0] + 2] = LAYOUT.background_start
        assert not task.oracle(ids[None]).any()


def test_permuting_ids_of_one_kind_leaves_labels_unchanged(task, rows):
    rng, table = np.random.default_rng(4), np.arange(LAYOUT.vocab_size)
    for low, high in [(LAYOUT.name_start, LAYOUT.name_stop), (LAYOUT.background_start, LAYOUT.vocab_size)]:
        table[low:high] = rng.permutation(table[low:high])
    assert (task.oracle(table[rows.input_ids[:300]]) == rows.target_set[:300]).all()


def test_every_readout_is_the_task_on_its_prefix(task):
    for length in (task.min_length, 300):
        batch = task.training_batch(np.random.default_rng(length), 60, length, 6)
        for ids, targets, places in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
            for target, place in zip(targets, places, strict=True):
                if target != IGNORE:
                    assert ids[place] == SEP and task.oracle(ids[None, : place + 1])[0, target]
    assert (task.training_batch(np.random.default_rng(1), 60, 1024, 8).targets != IGNORE).mean() > 0.9


def test_the_trained_member_is_uniform_among_those_of_the_set(task, rows):
    members = np.nonzero(rows.target_set)[1].reshape(N, -1)
    share = (members == rows.targets).mean(0)
    assert np.abs(share - 1 / task.members).max() < 5 * np.sqrt(0.25 / N)


def test_rows_are_those_of_their_version(task):
    ids = task.rows(5, 6, 256).input_ids
    assert hashlib.sha256(ids.tobytes()).hexdigest().startswith(GOLDEN[task.hops])
    assert (task.row(5, 4, 256).input_ids[0] == ids[4]).all()
    assert len(guards.row_hashes(np.concatenate([ids, task.rows(5, 6, 256, "train").input_ids]))) == 12


def test_chains_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="hops: expected at least 1, got 0"):
        VtSet(0)
    with pytest.raises(ValueError, match="16 hops need 68 classes, only 64 are available"):
        VtSet(16)
    with pytest.raises(ValueError, match="2 hops need 4 names, only 3 are available"):
        VtSet(2, Layout(names=3))
