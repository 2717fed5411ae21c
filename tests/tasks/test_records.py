"""niah_single_1, niah_single_3, niah_multikey_2 and niah_multikey_3: one format, one asked value."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import IGNORE
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler import NiahMultikey2, NiahMultikey3, NiahSingle1, NiahSingle3
from synapnet_edge.tasks.ruler.haystack import TAIL, is_answer, is_name
from synapnet_edge.tasks.ruler.niah_grid import SIDE
from synapnet_edge.tasks.ruler.niah_noise import PERIOD

# First bytes of the hash of these rows. A change here is a change of every score: raise the task's version.
GOLDEN = {
    NiahSingle1: "238b6759c7d8b1bb",
    NiahSingle3: "d5eaf0750ea382ce",
    NiahMultikey2: "8a7208cac1d76d99",
    NiahMultikey3: "051b3cee664a89df",
}
GUESS = {
    NiahSingle1: (1.0, 1.0),
    NiahSingle3: (0.273, 0.273),
    NiahMultikey2: (0.047, 0.037),
    NiahMultikey3: (0.172, 0.172),
}


@pytest.fixture(scope="module", params=list(GOLDEN), ids=lambda kind: kind.__name__)
def task(request):
    return request.param()


@pytest.fixture(scope="module")
def rows(task):
    return task.training_batch(np.random.default_rng(21), 4000, 512, 1)


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


def _records(task, batch):
    """Tokens of every record, [B, N, width]."""
    places = batch.meta["needle_pos"][:, :, None] + np.arange(task.needle_width)
    return np.take_along_axis(batch.input_ids[:, None], places, 2)


@pytest.mark.parametrize(("length", "n"), [("shortest", 300), (512, 300), (1024, 200), (4096, 20)])
def test_the_oracle_solves_every_row(task, length, n):
    rows = task.rows(3, n, task.min_length if length == "shortest" else length)
    assert (task.oracle(rows.input_ids) == rows.targets[:, 0]).all()


def test_labels_are_balanced_and_independent_of_depth(task, rows):
    labels = rows.targets[:, 0]
    assert guards.balance_p_value(labels) > 1e-3
    assert stats.spearmanr(labels, rows.meta["depth"]).pvalue > 1e-3
    picked = rows.meta["target_needle"][:, 0] / (512 - TAIL)
    assert stats.kstest(picked, "uniform").pvalue > 1e-3


def test_the_guess_is_the_documented_level(task):
    assert (task.guess(512), task.guess(1024)) == pytest.approx(GUESS[type(task)], abs=0.002)


@pytest.mark.parametrize("length", [512, 1024])
def test_no_heuristic_beats_the_stated_guess(task, length):
    rows = task.training_batch(np.random.default_rng(23), 1000, length, 1)
    context = guards.Context(rows.input_ids[:, :-TAIL])
    scores = guards.heuristic_scores(context, rows.targets[:, 0], np.random.default_rng(0))
    for name, score in scores.items():
        assert score <= _bound(task.guess(length), 1000), name
    if isinstance(task, NiahSingle1):
        assert scores["first_answer"] == 1


def test_half_of_the_question_is_worth_the_stated_guess_at_most(task):
    """Knowing all but one argument: the most frequent value among the records that remain."""
    rows = task.training_batch(np.random.default_rng(24), 4000, 512, 1)
    records = _records(task, rows)
    keys, values = records[:, :, : task.keys], records[:, :, task.keys :] - ANSWER_START
    asked = rows.input_ids[:, -task.block + 1 : -1]
    rng = np.random.default_rng(0)
    for known in range(-1, task.keys if task.keys > 1 else 0):
        match = np.ones(keys.shape[:2], dtype=bool) if known < 0 else keys[:, :, known] == asked[:, [known]]
        votes = rng.random((len(keys), 64)) / 2
        if task.keys > 1:
            values_of = values[np.arange(len(keys)), :, asked[:, -1] - LAYOUT.ordinal_start][:, :, None]
        else:
            values_of = values
        for slot in range(values_of.shape[2]):
            row, column = np.nonzero(match)
            np.add.at(votes, (row, values_of[row, column, slot]), 1)
        score = (votes.argmax(1) == rows.targets[:, 0]).mean()
        assert score <= _bound(task.guess(512), 4000), known
        if known >= 0 or task.keys == 1:
            assert score == pytest.approx(task.guess(512), abs=0.025)


def test_the_query_alone_says_nothing(task):
    length = max(64, task.min_length)
    rng = np.random.default_rng(22)
    train, test = (task.training_batch(rng, n, length, 1) for n in (4000, 1000))
    labels, bound = (train.targets[:, 0], test.targets[:, 0]), _bound(1 / 64, 1000)
    for place in range(1 - task.block, -1):
        asked = train.input_ids[:, place], test.input_ids[:, place]
        assert guards.table_probe((asked[0], labels[0]), (asked[1], labels[1])) <= bound
    features = [guards.hashed_positions(part.input_ids[:, -TAIL:], buckets=32) for part in (train, test)]
    assert guards.logistic_probe((features[0], labels[0]), (features[1], labels[1]), iterations=10) <= bound
    # The context without the query.
    bags = [guards.bag_of_tokens(part.input_ids[:, :-TAIL], 32) for part in (train, test)]
    score = guards.logistic_probe((bags[0], labels[0]), (bags[1], labels[1]), iterations=20)
    assert score <= _bound(task.guess(length), 1000)


def test_changing_the_asked_value_changes_the_label_and_other_changes_do_not(task, rows):
    ids, labels = rows.input_ids[:200].copy(), rows.targets[:200, 0]
    slot = ids[:, -2] - LAYOUT.ordinal_start if task.slots > 1 else np.zeros(200, dtype=np.int64)
    target = rows.meta["target_needle"][:200, 0]
    for row, places, own in zip(ids, rows.meta["needle_pos"][:200], target + task.keys + slot, strict=True):
        for place in (places[:, None] + np.arange(task.keys, task.needle_width)).ravel():
            if place != own:
                row[place] = ANSWER_START + (row[place] - ANSWER_START + 1) % 64
    assert (task.oracle(ids) == labels).all()
    ids[np.arange(200), target + task.keys + slot] = ANSWER_START + (labels + 1) % 64
    assert (task.oracle(ids) == (labels + 1) % 64).all()


def test_permuting_ids_of_one_kind_leaves_labels_unchanged(task, rows):
    rng, table = np.random.default_rng(4), np.arange(LAYOUT.vocab_size)
    for low, high in [(LAYOUT.name_start, LAYOUT.name_stop), (LAYOUT.background_start, LAYOUT.vocab_size)]:
        table[low:high] = rng.permutation(table[low:high])
    assert (task.oracle(table[rows.input_ids[:300]]) == rows.targets[:300, 0]).all()


def test_records_never_overlap_and_the_row_ends_in_the_query_block(task, rows):
    starts, tail = rows.meta["needle_pos"], rows.input_ids[:, -TAIL:]
    assert (starts[:, 0] >= 1).all() and (starts[:, -1] + task.needle_width <= 512 - TAIL).all()
    assert (np.diff(starts, axis=1) >= task.needle_width).all()
    assert (rows.input_ids[:, 0] == BOS).all() and (tail[:, -1] == SEP).all()
    assert (tail[:, : -task.block] >= LAYOUT.background_start).all() and (tail[:, -task.block] == QUERY).all()
    assert is_name(tail[:, -task.block + 1 :][:, : task.keys], LAYOUT).all()
    assert (rows.input_ids == QUERY).sum() == len(rows)


def test_no_background_token_completes_a_second_record(task):
    batch = type(task)(Layout(names=520)).training_batch(np.random.default_rng(2), 100, 1024, 1)
    last_keys = batch.meta["needle_pos"] + task.keys - 1
    for ids, places in zip(batch.input_ids, last_keys, strict=True):
        followed = np.flatnonzero(is_answer(ids[1:], Layout(names=520)))
        completing = followed[np.isin(ids[followed], ids[places])]
        assert set(completing.tolist()) == set(places.tolist())


def test_every_readout_is_the_task_on_its_prefix(task):
    for length in (task.min_length, max(300, task.min_length)):
        batch = task.training_batch(np.random.default_rng(length), 60, length, 6)
        for ids, targets, places in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
            for target, place in zip(targets, places, strict=True):
                if target != IGNORE:
                    assert ids[place] == SEP and task.oracle(ids[None, : place + 1])[0] == target
    assert (task.training_batch(np.random.default_rng(1), 60, 1024, 8).targets != IGNORE).mean() > 0.9


def test_rows_are_those_of_their_version(task):
    ids = task.rows(5, 6, 300).input_ids
    assert hashlib.sha256(ids.tobytes()).hexdigest().startswith(GOLDEN[type(task)])
    assert (task.row(5, 4, 300).input_ids[0] == ids[4]).all()
    assert len(guards.row_hashes(np.concatenate([ids, task.rows(5, 6, 300, "train").input_ids]))) == 12


def test_every_slot_is_asked_equally_often(task, rows):
    if task.slots > 1:
        share = np.bincount(rows.input_ids[:, -2] - LAYOUT.ordinal_start, minlength=task.slots) / 4000
        assert np.abs(share - 1 / task.slots).max() < 5 * np.sqrt(0.25 / 4000)


def test_the_noise_haystack_repeats_one_block_without_answers_and_names():
    rows = NiahSingle1().rows(1, 50, 256)
    for ids, place in zip(rows.input_ids, rows.meta["needle_pos"][:, 0], strict=True):
        body = ids[1:-TAIL]
        odd = [p for p in range(1, 256 - TAIL) if p not in (place, place + 1)]
        assert (ids[odd] >= LAYOUT.background_start).all()
        periods = {p % PERIOD: ids[p] for p in odd}
        assert all(ids[p] == periods[p % PERIOD] for p in odd)
        assert is_name(ids[place], LAYOUT) and is_answer(ids[place + 1], LAYOUT) and len(body) == 247


@pytest.mark.parametrize(("length", "pairs"), [(32, 8), (512, 128), (1024, 256), (2048, 512), (4096, 512)])
def test_the_needle_haystack_has_a_pair_for_every_four_tokens(length, pairs):
    rows = NiahMultikey2().rows(1, 2, length)
    names = np.take_along_axis(rows.input_ids, rows.meta["needle_pos"], 1)
    assert names.shape == (2, pairs) and all(len(set(row)) == pairs for row in names.tolist())


def test_the_grid_holds_every_combination_once():
    task = NiahMultikey3()
    records = _records(task, task.rows(1, 20, 512))
    for keys in records[:, :, :2].tolist():
        first, second = (set(side) for side in zip(*keys, strict=True))
        assert len(first) == len(second) == SIDE and not first & second
        assert len({tuple(key) for key in keys}) == SIDE * SIDE


def test_layouts_and_lengths_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="niah_multikey_2 needs 512 names, only 511 are available"):
        NiahMultikey2(Layout(names=511))
    with pytest.raises(ValueError, match="niah_single_3 needs 4 ordinals, only 3 are available"):
        NiahSingle3(Layout(ordinals=3))
    with pytest.raises(ValueError, match="at least 265 tokens, got 264"):
        NiahMultikey3().rows(0, 1, 264)
