import hashlib
from itertools import product

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import IGNORE, TASKS, suite_tasks
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.needlebench import AntiDistraction, CountNeedles, Mkn, ReasoningOverNeedles, Snia
from synapnet_edge.tasks.needlebench.cn import EACH, ITEMS, total_shortcut
from synapnet_edge.tasks.needlebench.records import last_of, pick
from synapnet_edge.tasks.ruler.haystack import TAIL

RECORD_TASKS = [f"needlebench/{name}" for name in ("ron", "ron_2", "cn", "adn", "kv_update")]
GRID_TASKS = ["needlebench/snia", "needlebench/mkn"]
# First bytes of the hash of these rows. A change here is a change of every score: raise the task's version.
GOLDEN = {
    "needlebench/snia": "3c91238f4fe56ddc",
    "needlebench/mkn": "1b5d27b4b2764428",
    "needlebench/ron": "b50eb24cca48c75e",
    "needlebench/ron_2": "1b198bb45851202f",
    "needlebench/cn": "c208430b42cd8b9b",
    "needlebench/adn": "7d19996742d1dd9c",
    "needlebench/kv_update": "60611c1033e9fef1",
}


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


def _labels(task, ids):
    """The oracle's labels as [B, Q]."""
    return task.oracle(ids).reshape(len(ids), -1)


def _relabel(ids, places, labels):
    np.put_along_axis(ids, places, ANSWER_START + labels, 1)


@pytest.fixture(scope="module", params=GRID_TASKS + RECORD_TASKS)
def any_task(request):
    return TASKS.get(request.param)


@pytest.fixture(scope="module", params=RECORD_TASKS)
def task(request):
    return TASKS.get(request.param)


@pytest.fixture(scope="module")
def rows(task):
    return task.training_batch(np.random.default_rng(21), 3000, 512, 1)


def test_the_suite_lists_its_tasks():
    assert suite_tasks("needlebench") == GRID_TASKS + RECORD_TASKS


@pytest.mark.parametrize(("length", "n"), [("shortest", 300), (512, 200), (1024, 150), (4096, 12)])
def test_the_oracle_solves_every_row(any_task, length, n):
    batch = any_task.rows(3, n, any_task.min_length if length == "shortest" else length)
    assert (_labels(any_task, batch.input_ids) == batch.targets).all()


@pytest.mark.parametrize("length", ["shortest", 300])
def test_every_training_readout_is_the_task_on_its_prefix(any_task, length):
    length = any_task.min_length if length == "shortest" else length
    batch = any_task.training_batch(np.random.default_rng(4), 25, length, 15)
    assert batch.targets.shape == batch.target_pos.shape == (25, 15)
    assert (batch.target_pos[:, -1] == length - 1).all()
    for ids, targets, positions in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
        for target, position in zip(targets, positions, strict=True):
            if target != IGNORE:
                assert ids[position] == SEP
                assert _labels(any_task, ids[None, : position + 1])[0, -1] == target


def test_a_long_row_uses_nearly_all_readouts(any_task):
    batch = any_task.training_batch(np.random.default_rng(1), 50, 1024, 16)
    assert (batch.targets != IGNORE).mean() > 0.85


@pytest.mark.parametrize("name", GRID_TASKS + RECORD_TASKS)
def test_rows_are_those_of_their_version_and_independent_of_their_number(name):
    task = TASKS.get(name)
    ids = task.rows(5, 6, 256).input_ids
    assert hashlib.sha256(ids.tobytes()).hexdigest()[:16] == GOLDEN[name]
    assert (task.row(5, 4, 256).input_ids[0] == ids[4]).all()


def test_labels_are_balanced_and_independent_of_depth(task, rows):
    labels = rows.targets[:, 0]
    if isinstance(task, CountNeedles):
        assert labels.min() == 1 and labels.max() == EACH
        assert guards.balance_p_value(labels - 1, EACH) > 1e-3
        return  # more marks begin earlier: the count is what depends on where they stand
    assert guards.balance_p_value(labels) > 1e-3
    assert np.bincount(labels).max() / len(labels) <= _bound(1 / 64, len(labels)) + 0.003
    assert stats.spearmanr(labels, rows.meta["depth"]).pvalue > 1e-3


@pytest.mark.parametrize(("length", "n"), [(256, 1500), (1024, 600)])
def test_no_heuristic_beats_the_stated_guess(task, length, n):
    batch = task.training_batch(np.random.default_rng(23), n, length, 1)
    context = guards.Context(batch.input_ids[:, :-TAIL])
    scores = guards.heuristic_scores(context, batch.targets[:, 0], np.random.default_rng(0))
    for name, score in scores.items():
        assert score <= _bound(task.guess(length), n), name


def test_the_query_alone_says_nothing_and_a_bag_of_the_context_no_more_than_the_guess(task):
    rng = np.random.default_rng(22)
    train, test = (task.training_batch(rng, n, max(128, task.min_length), 1) for n in (3000, 1000))
    labels = train.targets[:, 0], test.targets[:, 0]
    asked = [part.input_ids[:, -2] for part in (train, test)]
    chance = _bound(task.chance(128), 1000)
    assert guards.table_probe((asked[0], labels[0]), (asked[1], labels[1])) <= chance
    tails = [guards.hashed_positions(part.input_ids[:, -TAIL:], buckets=16) for part in (train, test)]
    assert guards.logistic_probe((tails[0], labels[0]), (tails[1], labels[1]), iterations=15) <= chance
    bags = [guards.bag_of_tokens(part.input_ids[:, :-TAIL], 32) for part in (train, test)]
    score = guards.logistic_probe((bags[0], labels[0]), (bags[1], labels[1]), iterations=15)
    assert score <= _bound(task.guess(128), 1000)


def test_records_stand_before_the_tail_anywhere_and_never_overlap(task, rows):
    starts = rows.meta["needle_pos"]
    assert (starts[:, 0] >= 1).all() and (starts[:, -1] + task.window <= 512 - TAIL).all()
    assert (np.diff(starts, axis=1) >= task.window).all()
    picked = np.random.default_rng(5).integers(0, starts.shape[1], (len(starts), 1))
    depth = np.take_along_axis(starts, picked, 1)[:, 0] / (512 - TAIL)
    assert stats.kstest(depth, "uniform").pvalue > 1e-3
    tail = rows.input_ids[:, -TAIL:]
    assert (rows.input_ids[:, 0] == BOS).all() and (tail[:, :-3] >= LAYOUT.background_start).all()
    assert (tail[:, -3] == QUERY).all() and (tail[:, -1] == SEP).all()
    assert (rows.input_ids == QUERY).sum() == len(rows)


def test_permuting_names_or_background_ids_leaves_labels_unchanged(any_task):
    batch = any_task.training_batch(np.random.default_rng(8), 200, 256, 1)
    rng = np.random.default_rng(4)
    table = np.arange(LAYOUT.vocab_size)
    for low, high in [
        (LAYOUT.name_start, LAYOUT.name_stop),
        (LAYOUT.background_start, LAYOUT.vocab_size),
    ]:
        table[low:high] = rng.permutation(table[low:high])
    assert (_labels(any_task, table[batch.input_ids]) == batch.targets).all()


def test_splits_and_lengths_share_no_row(any_task):
    length = any_task.min_length
    splits = ("train", "test", "calibration")
    hashes = [guards.row_hashes(any_task.rows(9, 60, length, split).input_ids) for split in splits]
    assert len(set.union(*hashes)) == 180
    ids = [any_task.rows(9, 1, length).input_ids[0, :32] for length in (256, 300)]
    assert (ids[0] != ids[1]).any()


def test_a_sequence_one_token_too_short_is_refused(any_task):
    with pytest.raises(ValueError, match=f"at least {any_task.min_length} tokens"):
        any_task.rows(0, 1, any_task.min_length - 1)


# snia and mkn


@pytest.mark.parametrize("task", [Snia(), Mkn()])
@pytest.mark.parametrize("length", [64, 777])
def test_evaluation_rows_stand_on_the_depth_grid(task, length):
    grid = task.grid(length)
    assert grid[0] == 1 and grid[-1] + 2 == length - task.tail
    assert np.ptp(np.diff(grid)) <= 1
    batch = task.rows(1, 22, length)
    if task.pairs == 1:
        assert (batch.meta["needle_pos"][:, 0] == np.tile(grid, 2)).all()
    else:
        assert (batch.meta["needle_pos"] == grid).all()
    assert (grid[batch.meta["depth_index"]] == batch.meta["target_needle"]).all()
    assert (batch.input_ids[:, -task.tail : -2 * task.pairs - 1] >= LAYOUT.background_start).all()


def test_training_places_the_pairs_anywhere_and_mkn_asks_every_pair_once():
    batch = Mkn().training_batch(np.random.default_rng(1), 3000, 256, 4)
    assert batch.targets.shape == (3000, 11)
    assert (np.sort(batch.meta["target_needle"], axis=1) == batch.meta["needle_pos"]).all()
    assert stats.kstest(batch.meta["depth"] * 256 / 224, "uniform").pvalue > 1e-3
    assert guards.balance_p_value(batch.targets.ravel()) > 1e-3
    # The order of the questions is random: the first one asks every pair equally often.
    first = (batch.meta["needle_pos"] == batch.meta["target_needle"][:, :1]).argmax(1)
    assert stats.chisquare(np.bincount(first, minlength=11)).pvalue > 1e-3


def test_one_value_changed_changes_one_answer():
    task = Mkn()
    batch = task.rows(2, 40, 256)
    ids = batch.input_ids.copy()
    _relabel(ids, batch.meta["target_needle"][:, :1] + 1, (batch.targets[:, :1] + 1) % 64)
    found = task.oracle(ids)
    assert (found[:, 0] == (batch.targets[:, 0] + 1) % 64).all()
    assert (found[:, 1:] == batch.targets[:, 1:]).all()


@pytest.mark.parametrize(("task", "n"), [(Snia(), 1000), (Mkn(), 600)])
def test_no_heuristic_beats_the_guess_on_training_rows_of_the_grid_tasks(task, n):
    batch = task.training_batch(np.random.default_rng(3), n, 512, 1)
    context = guards.Context(batch.input_ids[:, : -task.tail])
    scores = guards.heuristic_scores(context, batch.targets[:, 0], np.random.default_rng(0))
    for name, score in scores.items():
        assert score <= _bound(task.guess(512), n), name


# ron


@pytest.mark.parametrize("hops", [1, 2])
def test_a_chain_is_a_literal_and_its_differences_in_order(hops):
    task = ReasoningOverNeedles(hops)
    batch = task.rows(6, 60, 128)
    assign, add = LAYOUT.marker("ASSIGN"), LAYOUT.marker("ADD")
    for ids, starts, label in zip(
        batch.input_ids, batch.meta["needle_pos"], batch.targets[:, 0], strict=True
    ):
        value, depth = {}, {}
        for start in starts:
            marker, name, x, delta = ids[start : start + 4].tolist()
            assert name not in value and marker in (assign, add)
            if marker == assign:
                value[name], depth[name] = x - 5, 0
            else:
                assert 1 <= delta - 5 <= 63
                value[name], depth[name] = (value[x] + delta - 5) % 64, depth[x] + 1
        assert sorted(depth.values()) == sorted([*range(hops + 1)] * 4)
        assert depth[ids[-2]] == hops and value[ids[-2]] == label
        assert np.isin(ids, [assign, add]).sum() == 4 * (hops + 1)


@pytest.mark.parametrize("hops", [1, 2])
def test_copying_any_number_of_the_row_is_worth_nothing_in_ron(hops):
    task = ReasoningOverNeedles(hops)
    batch = task.training_batch(np.random.default_rng(7), 4000, 256, 1)
    target, label = batch.meta["target_needle"], batch.targets[:, 0]
    own = [batch.input_ids[np.arange(4000), target[:, 0] + 2] - 5]
    own += [batch.input_ids[np.arange(4000), target[:, hop] + 3] - 5 for hop in range(1, hops + 1)]
    for copied in own:
        assert (copied == label).mean() <= _bound(1 / 64, 4000)


def test_changing_a_term_of_the_asked_chain_shifts_the_sum_and_others_do_not():
    task = ReasoningOverNeedles(2)
    batch = task.rows(9, 80, 256)
    target, label = batch.meta["target_needle"], batch.targets[:, 0]
    for column, offset in [(0, 2), (1, 3), (2, 3)]:
        ids = batch.input_ids.copy()
        place = target[:, column : column + 1] + offset
        _relabel(ids, place, (np.take_along_axis(ids, place, 1) - 5 + 7) % 64)
        assert (task.oracle(ids) == (label + 7) % 64).all()
    ids = batch.input_ids.copy()
    other = (batch.meta["needle_pos"][:, :, None] != target[:, None]).all(2)
    last = batch.meta["needle_pos"][np.arange(80), other.argmax(1)][:, None] + 2
    ids[np.arange(80), last[:, 0]] = LAYOUT.background_start
    assert (task.oracle(ids) == label).all()


def test_intermediate_readouts_of_ron_are_the_sums_so_far():
    task = ReasoningOverNeedles(2)
    plain = task.training_batch(np.random.default_rng(3), 20, 200, 3)
    batch = task.with_intermediate(plain)
    assert batch.targets.shape == (20, 15) and ((batch.targets[:, :12] != IGNORE).sum(1) == 8).all()
    for ids, targets, positions in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
        for target, position in zip(targets[:12], positions[:12], strict=True):
            if target != IGNORE:
                assert _value_of(ids[: position + 1], ids[position - 2]) == target


def _value_of(ids, variable):
    value = {}
    for place in np.flatnonzero(np.isin(ids, [LAYOUT.marker("ASSIGN"), LAYOUT.marker("ADD")])):
        marker, name, x = ids[place : place + 3].tolist()
        is_add = marker == LAYOUT.marker("ADD")
        value[name] = (value[x] + ids[place + 3] - 5) % 64 if is_add else x - 5
    return value[variable]


# cn


def test_all_items_of_cn_occur_equally_often_and_counts_are_uniform():
    task = CountNeedles()
    batch = task.training_batch(np.random.default_rng(2), 3000, 256, 1)
    starts = batch.meta["needle_pos"]
    item = np.take_along_axis(batch.input_ids, starts + 1, 1)
    for row in item[:100]:
        assert (np.unique(row, return_counts=True)[1] == EACH).all() and len(np.unique(row)) == ITEMS
    assert guards.balance_p_value(batch.meta["candidates"].ravel() - 1, EACH) > 1e-3
    held = (batch.meta["target_needle"] >= 0).sum(1)
    assert (held == batch.targets[:, 0]).all()
    total = (np.take_along_axis(batch.input_ids, starts, 1) == LAYOUT.marker("MARK")).sum(1)
    mean = np.rint(total / ITEMS).astype(int)
    assert abs((mean == batch.targets[:, 0]).mean() - 0.08) < 0.025
    assert np.abs(mean - batch.targets[:, 0]).mean() == pytest.approx(3.4, abs=0.2)
    assert (mean == batch.targets[:, 0]).mean() <= _bound(total_shortcut(), 3000)


def test_the_best_rule_on_all_marks_is_computed_exactly():
    table = np.zeros((EACH + 1, ITEMS * EACH + 1))
    for counts in product(range(1, EACH + 1), repeat=ITEMS):
        table[counts[0], sum(counts)] += EACH**-ITEMS
    assert total_shortcut() == pytest.approx(table.max(0).sum())


def test_one_mark_turned_into_a_draft_counts_one_less_and_only_for_the_asked_item():
    task = CountNeedles()
    batch = task.rows(3, 60, 256)
    ids = batch.input_ids.copy()
    ids[np.arange(60), batch.meta["target_needle"][:, 0]] = LAYOUT.marker("DRAFT")
    assert (task.oracle(ids) == batch.targets[:, 0] - 1).all()
    starts = batch.meta["needle_pos"]
    other = np.take_along_axis(batch.input_ids, starts + 1, 1) != batch.input_ids[:, -2:-1]
    row, column = np.nonzero(other)
    ids = batch.input_ids.copy()
    ids[row, starts[row, column]] = LAYOUT.marker("MARK")
    assert (task.oracle(ids) == batch.targets[:, 0]).all()


# adn


def test_the_final_record_is_uniform_among_the_nine_of_its_name():
    task = AntiDistraction()
    batch = task.training_batch(np.random.default_rng(4), 3000, 256, 1)
    starts = batch.meta["needle_pos"]
    names = np.take_along_axis(batch.input_ids, starts + 1, 1)
    own = names == batch.input_ids[:, -2:-1]
    assert (own.sum(1) == 9).all()
    rank = (own & (starts < batch.meta["target_needle"])).sum(1)
    assert stats.chisquare(np.bincount(rank, minlength=9)).pvalue > 1e-3
    final = np.take_along_axis(batch.input_ids, starts, 1) == LAYOUT.marker("FINAL")
    assert ((final & own).sum(1) == 1).all()
    assert abs((final & ~own).sum(1).mean() - (3 + 4.5)) < 0.15
    # Nothing but the question tells the asked name: three others have as many records and one final, too.
    for row, marks in zip(names[:100], final[:100], strict=True):
        found, counts = np.unique(row, return_counts=True)
        assert sorted(counts) == [1] * 9 + [9] * 4
        assert all(marks[row == name].sum() == 1 for name in found[counts == 9])
    values = batch.meta["candidates"]
    for mask, level in [(own, 0.125), (final, 0.14)]:
        guessed = np.take_along_axis(values, pick(np.random.default_rng(1), mask), 1)[:, 0]
        assert abs((guessed == batch.targets[:, 0]).mean() - level) < 0.03


def test_only_the_final_value_of_the_asked_name_matters():
    task = AntiDistraction()
    batch = task.rows(4, 80, 256)
    ids, label = batch.input_ids.copy(), batch.targets[:, 0]
    starts = batch.meta["needle_pos"]
    row, column = np.nonzero(starts != batch.meta["target_needle"])
    places = starts[row, column] + 2
    ids[row, places] = ANSWER_START + (ids[row, places] - 4) % 64
    assert (task.oracle(ids) == label).all()
    _relabel(ids, batch.meta["target_needle"] + 2, (label[:, None] + 1) % 64)
    assert (task.oracle(ids) == (label + 1) % 64).all()
    # Another record of the name made final instead: its value is the answer.
    ids = batch.input_ids.copy()
    names = np.take_along_axis(ids, starts + 1, 1)
    draft = pick(np.random.default_rng(0), (names == ids[:, -2:-1]) & (starts != batch.meta["target_needle"]))
    np.put_along_axis(ids, batch.meta["target_needle"], LAYOUT.marker("DRAFT"), 1)
    np.put_along_axis(ids, np.take_along_axis(starts, draft, 1), LAYOUT.marker("FINAL"), 1)
    assert (task.oracle(ids) == np.take_along_axis(batch.meta["candidates"], draft, 1)[:, 0]).all()


# kv_update


def test_the_last_of_four_assignments_counts():
    task = TASKS.get("needlebench/kv_update")
    batch = task.training_batch(np.random.default_rng(5), 3000, 256, 1)
    starts, target = batch.meta["needle_pos"], batch.meta["target_needle"]
    own = np.take_along_axis(batch.input_ids, starts + 1, 1) == batch.input_ids[:, -2:-1]
    assert (own.sum(1) == 4).all()
    assert (np.where(own, starts, -1).max(1) == target[:, 0]).all()
    values = batch.meta["candidates"]
    guessed = np.take_along_axis(values, pick(np.random.default_rng(1), own), 1)[:, 0]
    assert abs((guessed == batch.targets[:, 0]).mean() - 0.26) < 0.03
    assert abs((values[:, -1] == batch.targets[:, 0]).mean() - 0.14) < 0.025


def test_an_earlier_assignment_changes_nothing_and_a_later_one_everything():
    task = TASKS.get("needlebench/kv_update")
    batch = task.rows(5, 80, 256)
    label, target = batch.targets[:, 0], batch.meta["target_needle"]
    ids = batch.input_ids.copy()
    _relabel(ids, target + 2, (label[:, None] + 1) % 64)
    assert (task.oracle(ids) == (label + 1) % 64).all()
    ids = batch.input_ids.copy()
    row, column = np.nonzero(batch.meta["needle_pos"] < target)
    ids[row, batch.meta["needle_pos"][row, column] + 2] = ANSWER_START
    assert (task.oracle(ids) == label).all()
    # Without the last one, the assignment before it counts.
    ids[np.arange(80), target[:, 0]] = LAYOUT.background_start
    assert (task.oracle(ids) == 0).all()


def test_last_of_finds_the_latest_record_of_every_owner():
    table = last_of(np.array([[1, 0, 1]]), 3)
    assert table[0].tolist() == [[-1, -1, -1], [-1, 0, -1], [1, 0, -1], [1, 2, -1]]


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="hops: expected at least 1, got 0"):
        ReasoningOverNeedles(0)
    with pytest.raises(ValueError, match="needs 13 names, only 8"):
        AntiDistraction(Layout(names=8))


def test_the_documented_guesses():
    levels = {"mkn": 0.149, "ron": 0.428, "ron_2": 0.341, "cn": 0.337, "adn": 0.273, "kv_update": 0.273}
    for name, level in levels.items():
        assert TASKS.get(f"needlebench/{name}").guess(1024) == pytest.approx(level, abs=0.001)
