import hashlib

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import IGNORE
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler import Cwe, Fwe
from synapnet_edge.tasks.ruler.haystack import TAIL, is_answer
from synapnet_edge.tasks.ruler.words import BURST, zipf_counts
from synapnet_edge.tasks.sets import recall_at

N = 1000
# First bytes of the hash of these rows. A change here is a change of every score: raise the task's version.
GOLDEN = {Cwe: "98977bb88e700363", Fwe: "d02b769849653e78"}
GUESS = {Cwe: {1024: 0.592, 4096: 0.856}, Fwe: {1024: 0.611, 4096: 0.588}}


@pytest.fixture(scope="module", params=list(GOLDEN), ids=lambda kind: kind.__name__)
def task(request):
    return request.param()


@pytest.fixture(scope="module")
def rows(task):
    return task.training_batch(np.random.default_rng(1), N, 1024, 1)


def _window(task, rows, tokens):
    """Recall of the most frequent answer tokens of the last `tokens` words."""
    seen = task.counts(rows.input_ids[:, -TAIL - tokens : -TAIL])
    return recall_at(seen + np.random.default_rng(0).random(seen.shape), rows.target_set).mean()


@pytest.mark.parametrize(("length", "n"), [("shortest", 100), (512, 100), (1024, 100), (4096, 20), (8192, 4)])
def test_the_oracle_solves_every_row_without_a_tie(task, length, n):
    rows = task.rows(3, n, task.min_length if length == "shortest" else length)
    assert (task.oracle(rows.input_ids) == rows.target_set).all()
    assert (rows.target_set.sum(1) == task.members).all()
    assert rows.target_set[np.arange(n), rows.targets[:, 0]].all()
    ranked = -np.sort(-task.counts(rows.input_ids), axis=1)
    assert (ranked[:, task.members - 1] > ranked[:, task.members]).all()


def test_labels_are_balanced(task, rows):
    assert guards.balance_p_value(rows.targets[:, 0]) > 1e-3
    assert guards.balance_p_value(np.nonzero(rows.target_set)[1]) > 1e-3
    members = np.nonzero(rows.target_set)[1].reshape(N, -1)
    assert np.abs((members == rows.targets).mean(0) - 1 / task.members).max() < 5 * np.sqrt(0.25 / N)
    assert stats.spearmanr(rows.targets[:, 0], rows.meta["depth"]).pvalue > 1e-3


@pytest.mark.parametrize("length", [512, 1024, 4096])
def test_no_heuristic_beats_the_stated_guess(task, length):
    n = min(N, 2**20 // length)
    rows = task.training_batch(np.random.default_rng(2), n, length, 1)
    bound = task.guess(length) + 3 * 0.25 / np.sqrt(n)  # recall of a row spreads less than a quarter
    rng = np.random.default_rng(0)
    for tokens in (64, min(512, length // 4)):
        level = _window(task, rows, tokens)
        assert level <= bound
        assert level == pytest.approx(task.window_recall(length, tokens), abs=0.04)
    # Every answer token that occurs, all alike, and the rarest.
    seen = task.counts(rows.input_ids)
    assert recall_at((seen > 0) + rng.random(seen.shape), rows.target_set).mean() <= bound
    assert recall_at(-seen + rng.random(seen.shape), rows.target_set).mean() <= bound
    for order in (1, -1):  # the first and the last distinct answer tokens
        body = rows.input_ids[:, 1:-TAIL][:, ::order]
        scores = np.array([[-np.argmax(row == ANSWER_START + c) for c in range(64)] for row in body[:200]])
        scores[task.counts(body[:200]) == 0] = -length
        level = recall_at(scores, rows.target_set[:200]).mean()
        assert level <= task.guess(length) + 3 * 0.3 / np.sqrt(200)


def test_the_guess_is_the_documented_level(task):
    for length, level in GUESS[type(task)].items():
        assert task.guess(length) == pytest.approx(level, abs=0.01)


def test_random_places_have_the_recall_that_the_guess_assumes(task, rows):
    """The first distinct answer tokens of a shuffled row."""
    found = []
    rng = np.random.default_rng(0)
    for ids, answers in zip(rows.input_ids[:600], rows.target_set, strict=False):
        labels = rng.permutation(ids[is_answer(ids, LAYOUT)]) - ANSWER_START
        distinct = list(dict.fromkeys(labels.tolist()))[: task.members]
        found.append(answers[distinct].mean())
    assert np.mean(found) == pytest.approx({Cwe: 0.468, Fwe: 0.611}[type(task)], abs=0.04)


def test_the_tail_says_nothing(task):
    rng = np.random.default_rng(22)
    train, test = (task.training_batch(rng, n, 128, 1) for n in (4000, 1000))
    features = [guards.hashed_positions(part.input_ids[:, -TAIL:], buckets=16) for part in (train, test)]
    labels = train.targets[:, 0], test.targets[:, 0]
    score = guards.logistic_probe((features[0], labels[0]), (features[1], labels[1]), iterations=10)
    assert score <= 1 / 64 + 3 * guards.standard_error(1 / 64, 1000)


def test_exchanging_two_answer_tokens_exchanges_the_labels_and_order_means_nothing(task, rows):
    rng = np.random.default_rng(3)
    for ids, answers in zip(rows.input_ids[:100], rows.target_set, strict=False):
        shuffled = ids.copy()
        shuffled[1:-TAIL] = rng.permutation(ids[1:-TAIL])
        assert (task.oracle(shuffled[None])[0] == answers).all()
        table = np.arange(LAYOUT.vocab_size)
        right, wrong = np.flatnonzero(answers)[0], np.flatnonzero(~answers)[0]
        table[ANSWER_START + np.array([right, wrong])] = ANSWER_START + np.array([wrong, right])
        expected = answers.copy()
        expected[[right, wrong]] = False, True
        assert (task.oracle(table[ids][None])[0] == expected).all()


def test_permuting_ids_of_one_kind_leaves_labels_unchanged(task, rows):
    rng, table = np.random.default_rng(4), np.arange(LAYOUT.vocab_size)
    table[LAYOUT.name_start :] = rng.permutation(table[LAYOUT.name_start :])
    assert (task.oracle(table[rows.input_ids[:300]]) == rows.target_set[:300]).all()


def test_every_readout_is_the_task_on_its_prefix(task):
    for length in (task.min_length, task.min_length + 9, 300):
        batch = task.training_batch(np.random.default_rng(length), 60, length, 6)
        assert batch.targets.shape == (60, 6) and (batch.input_ids[:, 0] == BOS).all()
        for ids, targets, places in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
            assert (ids == QUERY).sum() == (targets != IGNORE).sum()
            for target, place in zip(targets, places, strict=True):
                if target == IGNORE:
                    assert place == length - 1
                    continue
                counts = np.sort(task.counts(ids[None, : place + 1])[0])
                assert ids[place] == SEP and task.oracle(ids[None, : place + 1])[0, target]
                assert counts[-task.members] > counts[-task.members - 1]
    assert (task.training_batch(np.random.default_rng(1), 60, 1024, 8).targets != IGNORE).mean() > 0.9


def test_the_needles_are_the_tokens_of_the_right_answers(task):
    rows = task.rows(2, 20, 512)
    for ids, places, answers in zip(rows.input_ids, rows.meta["needle_pos"], rows.target_set, strict=True):
        assert set((ids[places] - ANSWER_START).tolist()) == set(np.flatnonzero(answers).tolist())
        assert len(places) == np.isin(ids, ANSWER_START + np.flatnonzero(answers)).sum()


def test_rows_are_those_of_their_version(task):
    ids = task.rows(5, 6, 256).input_ids
    assert hashlib.sha256(ids.tobytes()).hexdigest().startswith(GOLDEN[type(task)])
    assert (task.row(5, 4, 256).input_ids[0] == ids[4]).all()
    assert len(guards.row_hashes(np.concatenate([ids, task.rows(5, 6, 256, "train").input_ids]))) == 12


@pytest.mark.parametrize(
    ("length", "common", "rare"),
    [(123, 6, 1), (1024, 6, 1), (4095, 12, 2), (4096, 30, 3), (8192, 30, 3), (16384, 60, 6)],
)
def test_common_words_occur_more_often_than_all_others(length, common, rare):
    rows = Cwe().rows(1, 2, length)
    for ids in rows.input_ids:
        words, counts = np.unique(ids[1:-TAIL], return_counts=True)
        assert Cwe().frequencies(length) == (common, rare)
        assert sorted(counts)[-10:] == [common] * 10 and sorted(counts)[-11] == rare
        assert len(words) <= 3010
        # All 64 answer tokens occur, all but ten as often as any other word.
        assert is_answer(words, LAYOUT).sum() == 64
        assert (counts[is_answer(words, LAYOUT)] >= rare).all()


@pytest.mark.parametrize("length", [512, 1024, 4096])
def test_frequent_words_follow_zipf_in_bursts(length):
    rows = Fwe().rows(1, 30, length)
    count = length - 1 - TAIL
    expected = zipf_counts(count)
    spans = []
    for ids in rows.input_ids:
        words, counts = np.unique(ids[1:-TAIL], return_counts=True)
        answers = is_answer(words, LAYOUT)
        assert sorted(counts[answers], reverse=True) == expected[:64].tolist()
        assert words[counts.argmax()] >= LAYOUT.background_start
        assert counts.max() == count - expected.sum()
        places = [np.flatnonzero(ids[1:-TAIL] == word) for word in words[answers]]
        spans += [(place[-1] - place[0] + 1) / count for place in places]
    assert np.quantile(spans, 0.9) <= BURST + 0.01
    assert max(spans) < 2 * BURST


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="cwe needs 3000 names and background ids, only"):
        Cwe(Layout(vocab_size=3000))
    with pytest.raises(ValueError, match="at least 128 tokens, got 127"):
        Fwe().rows(0, 1, 127)
