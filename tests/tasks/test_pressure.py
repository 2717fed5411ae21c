import hashlib

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import IGNORE, TASKS, suite_tasks
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.pressure import CUED, P_CUED, PAIRS, MemoryPressure, retention_bounds
from synapnet_edge.tasks.ruler.haystack import TAIL

VARIANTS = ["pressure/cued", "pressure/early", "pressure/late", "pressure/uncued"]
CUE = LAYOUT.marker("CUE")
# First bytes of the hash of these rows. A change here is a change of every score: raise the task's version.
GOLDEN = {
    "pressure/cued": "831a40ecd17b11fc",
    "pressure/early": "dc092bd469eefad1",
    "pressure/late": "733f316faecc6608",
    "pressure/uncued": "247e389b518fb9e2",
}
N, L = 3000, 512


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


def _cues(rows):
    return np.take_along_axis(rows.input_ids, rows.meta["needle_pos"] - 1, 1) == CUE


def _target(rows):
    return (rows.meta["needle_pos"] == rows.meta["target_needle"]).argmax(1)


@pytest.fixture(scope="module", params=VARIANTS)
def task(request):
    return TASKS.get(request.param)


@pytest.fixture(scope="module")
def rows(task):
    return task.training_batch(np.random.default_rng(31), N, L, 1)


def test_the_suite_lists_its_variants():
    assert suite_tasks("pressure") == VARIANTS


@pytest.mark.parametrize(("length", "n"), [("shortest", 200), (512, 200), (1024, 100), (4096, 12)])
def test_the_oracle_solves_every_row(task, length, n):
    batch = task.rows(3, n, task.min_length if length == "shortest" else length)
    assert (task.oracle(batch.input_ids) == batch.targets[:, 0]).all()


@pytest.mark.parametrize("length", ["shortest", 400])
def test_every_training_readout_is_the_task_on_its_prefix(task, length):
    length = task.min_length if length == "shortest" else length
    batch = task.training_batch(np.random.default_rng(4), 25, length, 6)
    for ids, targets, positions in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
        for target, position in zip(targets, positions, strict=True):
            if target != IGNORE:
                assert ids[position] == SEP
                assert task.oracle(ids[None, : position + 1])[0] == target


@pytest.mark.parametrize("name", VARIANTS)
def test_rows_are_those_of_their_version_and_independent_of_their_number(name):
    task = TASKS.get(name)
    ids = task.rows(5, 6, 256).input_ids
    assert hashlib.sha256(ids.tobytes()).hexdigest()[:16] == GOLDEN[name]
    assert (task.row(5, 4, 256).input_ids[0] == ids[4]).all()


def test_labels_are_balanced_and_independent_of_depth(rows):
    labels = rows.targets[:, 0]
    assert guards.balance_p_value(labels) > 1e-3
    assert np.bincount(labels).max() / N <= _bound(1 / 64, N) + 0.003
    assert stats.spearmanr(labels, rows.meta["depth"]).pvalue > 1e-3


def test_every_pair_is_written_once_and_a_quarter_of_them_has_a_cue(task, rows):
    starts = rows.meta["needle_pos"]
    names = np.take_along_axis(rows.input_ids, starts, 1)
    values = np.take_along_axis(rows.input_ids, starts + 1, 1)
    assert (np.diff(starts, axis=1) >= 3).all() and (starts[:, -1] + 2 <= L - TAIL).all()
    assert (values - ANSWER_START == rows.meta["candidates"]).all()
    assert all(len(set(row)) == PAIRS for row in names[:200].tolist())
    assert (_cues(rows).sum(1) == task.cued).all()
    assert ((rows.input_ids == CUE).sum(1) == task.cued).all()
    # No name of a row begins an accidental record as well.
    for ids, own in zip(rows.input_ids[:200], names[:200], strict=True):
        followed = (ids[1:] >= ANSWER_START) & (ids[1:] < LAYOUT.answer_stop)
        assert np.isin(ids[:-1][followed], own).sum() == PAIRS


def test_the_asked_pair_has_a_cue_in_four_rows_of_five(task, rows):
    share = _cues(rows)[np.arange(N), _target(rows)].mean()
    expected = P_CUED if task.cued else 0.0
    assert abs(share - expected) <= 4 * guards.standard_error(expected, N)


def test_neither_place_nor_order_tells_the_cue_or_the_asked_pair(task, rows):
    cues, target = _cues(rows), _target(rows)
    index = np.arange(PAIRS)
    inside = {"early": index < 32, "late": index >= 32}.get(task.variant, index >= 0)
    asked = np.bincount(target, minlength=PAIRS)
    assert asked[~inside].sum() == 0
    assert stats.chisquare(asked[inside]).pvalue > 1e-3
    if task.cued:
        # The share of cues is fixed in every row, so the counts vary less than independent draws would.
        assert stats.chisquare(cues.sum(0)).pvalue > 1e-3
    if task.halves:
        assert (cues[:, :32].sum(1) == CUED // 2).all()


def test_early_and_late_place_half_of_the_pairs_in_their_part_of_the_row():
    for name in ("early", "late"):
        for length in (MemoryPressure(name).min_length, 1000):
            batch = MemoryPressure(name).rows(2, 20, length)
            starts = batch.meta["needle_pos"]
            zone = int(0.4 * (length - TAIL - 1))
            inside = starts < 1 + zone if name == "early" else starts >= length - TAIL - zone
            assert (inside.sum(1) == 32).all()
            assert np.take_along_axis(inside, _target(batch)[:, None], 1).all()


@pytest.mark.parametrize(("length", "n"), [(512, 1500), (1024, 600)])
def test_no_heuristic_beats_the_stated_guess(task, length, n):
    batch = task.training_batch(np.random.default_rng(23), n, length, 1)
    context = guards.Context(batch.input_ids[:, :-TAIL])
    scores = guards.heuristic_scores(context, batch.targets[:, 0], np.random.default_rng(0))
    # The most frequent value among the pairs with a cue: what a model without binding can know.
    cues, values = _cues(batch) | (task.cued == 0), batch.meta["candidates"]
    counts = np.zeros((n, 64))
    row, column = np.nonzero(cues)
    np.add.at(counts, (row, values[row, column]), 1)
    scores["cued"] = (counts.argmax(1) == batch.targets[:, 0]).mean()
    for name, score in scores.items():
        assert score <= _bound(task.guess(length), n), name


def test_the_query_alone_says_nothing_and_a_bag_of_the_context_no_more_than_the_guess(task):
    rng = np.random.default_rng(22)
    train, test = (task.training_batch(rng, n, 256, 1) for n in (2500, 800))
    labels = train.targets[:, 0], test.targets[:, 0]
    asked = [part.input_ids[:, -2] for part in (train, test)]
    chance = _bound(task.chance(256), 800)
    assert guards.table_probe((asked[0], labels[0]), (asked[1], labels[1])) <= chance
    bags = [guards.bag_of_tokens(part.input_ids[:, :-TAIL], 32) for part in (train, test)]
    score = guards.logistic_probe((bags[0], labels[0]), (bags[1], labels[1]), iterations=12)
    assert score <= _bound(task.guess(256), 800)


def test_only_the_value_of_the_asked_pair_matters(task, rows):
    part = rows.take(slice(0, 100))
    ids, label = part.input_ids.copy(), part.targets[:, 0]
    row, column = np.nonzero(part.meta["needle_pos"] != part.meta["target_needle"])
    places = part.meta["needle_pos"][row, column] + 1
    ids[row, places] = ANSWER_START + (ids[row, places] - 4) % 64
    ids[ids == CUE] = LAYOUT.background_start
    assert (task.oracle(ids) == label).all()
    np.put_along_axis(ids, part.meta["target_needle"] + 1, ANSWER_START + (label[:, None] + 1) % 64, 1)
    assert (task.oracle(ids) == (label + 1) % 64).all()


def test_permuting_names_or_background_ids_leaves_labels_unchanged(task, rows):
    rng = np.random.default_rng(4)
    table = np.arange(LAYOUT.vocab_size)
    for low, high in [
        (LAYOUT.name_start, LAYOUT.name_stop),
        (LAYOUT.background_start, LAYOUT.vocab_size),
    ]:
        table[low:high] = rng.permutation(table[low:high])
    assert (task.oracle(table[rows.input_ids[:200]]) == rows.targets[:200, 0]).all()


def test_the_row_ends_in_background_and_the_question(rows):
    tail = rows.input_ids[:, -TAIL:]
    assert (rows.input_ids[:, 0] == BOS).all() and (tail[:, :-3] >= LAYOUT.background_start).all()
    assert (tail[:, -3] == QUERY).all() and (tail[:, -1] == SEP).all()


@pytest.mark.parametrize(("kept", "blind", "aware"), [(8, 0.125, 0.4), (16, 0.25, 0.8), (32, 0.5, 0.86667)])
def test_the_bounds_are_the_documented_ones(kept, blind, aware):
    assert retention_bounds(kept) == pytest.approx((blind, aware), abs=1e-4)
    assert MemoryPressure().retention_bounds(kept) == retention_bounds(kept)
    assert MemoryPressure("uncued").retention_bounds(kept) == (blind, blind)


def test_the_bounds_hold_for_extremes_and_for_cues_that_mislead():
    assert retention_bounds(0) == (0, 0) and retention_bounds(PAIRS) == pytest.approx((1, 1))
    # A cue on pairs that are asked less often than the others: the best policy keeps the others first.
    assert retention_bounds(48, p_cued=0.1).cue_aware == pytest.approx(0.9)
    for kept in range(PAIRS + 1):
        bounds = retention_bounds(kept)
        assert bounds.cue_aware >= bounds.blind - 1e-12
    with pytest.raises(ValueError, match="kept=65"):
        retention_bounds(65)


@pytest.mark.parametrize("kept", [8, 16, 32])
def test_policies_on_rows_reach_the_bounds(task, rows, kept):
    cues, target = _cues(rows), _target(rows)
    noise = np.random.default_rng(1).random(cues.shape)
    policies = {
        "random": (noise, task.retention_bounds(kept).blind),
        "cue": (noise + cues, task.retention_bounds(kept).cue_aware),
    }
    if not task.halves:
        policies["newest"] = (np.arange(PAIRS) + 0 * noise, task.retention_bounds(kept).blind)
    for name, (score, expected) in policies.items():
        held = (score.argsort(1).argsort(1) >= PAIRS - kept)[np.arange(N), target]
        assert abs(held.mean() - expected) <= 4 * guards.standard_error(expected, N) + 1e-9, name


def test_splits_share_no_row_and_short_rows_are_refused(task):
    splits = ("train", "test", "calibration")
    hashes = [guards.row_hashes(task.rows(9, 40, task.min_length, split).input_ids) for split in splits]
    assert len(set.union(*hashes)) == 120
    with pytest.raises(ValueError, match=f"at least {task.min_length} tokens"):
        task.rows(0, 1, task.min_length - 1)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="variant: expected one of cued, early, late, uncued, got 'middle'"):
        MemoryPressure("middle")
    with pytest.raises(ValueError, match="needs 64 names, only 60"):
        MemoryPressure(layout=Layout(names=60))


def test_the_documented_guesses():
    for name, level in {"cued": 0.103, "early": 0.141, "late": 0.141, "uncued": 0.062}.items():
        assert TASKS.get(f"pressure/{name}").guess(1024) == pytest.approx(level, abs=0.001)
