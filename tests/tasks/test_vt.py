import numpy as np
import pytest

from synapnet_edge.tasks import IGNORE
from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler import Vt
from synapnet_edge.tasks.ruler.vt import CHAINS

ASSIGN, COPY = LAYOUT.marker("ASSIGN"), LAYOUT.marker("COPY")
N, L = 20000, 128


@pytest.fixture(scope="module", params=[1, 2, 4])
def task(request):
    return Vt(request.param)


@pytest.fixture(scope="module")
def rows(task):
    return task.training_batch(np.random.default_rng(1), N, L, 1)


def _records(ids, starts):
    """Token at `offset` of every record, three arrays [B, records]."""
    return (np.take_along_axis(ids, starts + offset, 1) for offset in range(3))


def test_a_row_holds_four_chains_with_definitions_before_uses(task, rows):
    for ids, starts in zip(rows.input_ids[:200], rows.meta["needle_pos"][:200], strict=True):
        depth = {}
        for marker, name, source in ids[starts[:, None] + np.arange(3)].tolist():
            assert name not in depth
            assert marker in (ASSIGN, COPY)
            depth[name] = 0 if marker == ASSIGN else depth[source] + 1
        assert sorted(depth.values()) == sorted([*range(task.hops + 1)] * CHAINS)
        assert depth[ids[-2]] == task.hops
        assert np.isin(ids, [ASSIGN, COPY]).sum() == len(starts)


def test_every_interleaving_of_the_chains_is_equally_likely(task, rows):
    markers, _, _ = _records(rows.input_ids, rows.meta["needle_pos"])
    literal = (markers == ASSIGN).mean(0)
    assert literal[0] == 1 and literal[-1] == 0
    # The second record belongs to the first chain with probability h / (records - 1).
    expected = 1 - task.hops / (task.records - 1)
    assert abs(literal[1] - expected) < 5 * np.sqrt(expected * (1 - expected) / N)


def test_the_asked_chain_is_independent_of_its_place(task, rows):
    markers, _, values = _records(rows.input_ids, rows.meta["needle_pos"])
    literals = rows.meta["needle_pos"][markers == ASSIGN].reshape(N, CHAINS)
    rank = (literals == rows.meta["target_needle"][:, :1]).argmax(1)
    assert np.abs(np.bincount(rank, minlength=CHAINS) / N - 1 / CHAINS).max() < 5 * np.sqrt(0.1875 / N)
    assert (values[markers == ASSIGN] >= ANSWER_START).all()


def test_the_guess_is_what_the_best_rule_on_the_order_of_records_reaches(task, rows):
    """The rule is learned from half of the rows and measured on the other half."""
    markers, names, sources = _records(rows.input_ids, rows.meta["needle_pos"])
    starts, asked = rows.meta["needle_pos"], rows.meta["target_needle"][:, -1:]
    end = ~(names[:, :, None] == sources[:, None, :]).any(2)
    ended = (end & (starts < asked)).sum(1)
    begun = ((markers == ASSIGN) & (starts < asked)).sum(1)
    own = (starts[markers == ASSIGN].reshape(N, CHAINS) == rows.meta["target_needle"][:, :1]).argmax(1)
    table = np.zeros((CHAINS, CHAINS + 1, CHAINS))
    half = slice(0, N // 2), slice(N // 2, N)
    np.add.at(table, (ended[half[0]], begun[half[0]], own[half[0]]), 1)
    literals = sources[markers == ASSIGN].reshape(N, CHAINS) - ANSWER_START
    chosen = table.argmax(2)[ended[half[1]], begun[half[1]]]
    score = (literals[np.arange(N // 2, N), chosen] == rows.targets[half[1], 0]).mean()
    assert score == pytest.approx(task.guess(L), abs=0.02)
    assert task.guess(L) == pytest.approx({1: 0.43, 2: 0.34, 4: 0.30}[task.hops], abs=0.005)


def test_changing_the_literal_of_the_asked_chain_changes_the_label_and_others_do_not(task, rows):
    ids, labels = rows.input_ids[:300].copy(), rows.targets[:300, 0]
    own = rows.meta["target_needle"][:300, 0]
    for row, starts, kept in zip(ids, rows.meta["needle_pos"][:300], own, strict=True):
        others = starts[(row[starts] == ASSIGN) & (starts != kept)]
        row[others + 2] = ANSWER_START + (row[others + 2] - ANSWER_START + 1) % 64
    assert (task.oracle(ids) == labels).all()
    ids[np.arange(300), own + 2] = ANSWER_START + (labels + 1) % 64
    assert (task.oracle(ids) == (labels + 1) % 64).all()


def test_moving_any_link_of_the_asked_chain_changes_the_label(task, rows):
    for ids, starts, chain in zip(
        rows.input_ids[:100], rows.meta["needle_pos"][:100], rows.meta["target_needle"][:100], strict=True
    ):
        other = next(place for place in starts if ids[place] == ASSIGN and place != chain[0])
        for link in chain[1:]:
            moved = ids.copy()
            moved[link + 2] = ids[other + 1]
            assert task.oracle(moved[None])[0] == ids[other + 2] - ANSWER_START


def test_training_blocks_ask_every_depth_already_defined(task):
    batch = task.training_batch(np.random.default_rng(2), 300, 512, 8)
    depths = []
    for ids, targets, places in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
        source = {ids[p + 1]: ids[p + 2] for p in np.flatnonzero((ids == ASSIGN) | (ids == COPY))}
        for place in places[:-1][targets[:-1] != IGNORE]:
            depth, name = 0, ids[place - 1]
            while source[name] in source:
                depth, name = depth + 1, source[name]
            depths.append(depth)
    counts = np.bincount(depths, minlength=task.hops + 1)
    assert (counts > 0.02 * len(depths)).all() and len(counts) == task.hops + 1


def test_a_chain_without_hops_or_too_few_names_are_refused():
    with pytest.raises(ValueError, match="hops: expected at least 1, got 0"):
        Vt(0)
    with pytest.raises(ValueError, match="2 hops need 12 names, only 11"):
        Vt(2, Layout(names=11))


def test_intermediate_readouts_are_the_literals_that_copies_stand_for():
    """A question for a copied variable, asked right after its record, has the same answer."""
    task = Vt()
    plain = task.training_batch(np.random.default_rng(0), 20, L, 4)
    batch = task.with_intermediate(plain)
    added = batch.targets.shape[1] - 4
    assert (batch.targets[:, added:] == plain.targets).all()
    assert (batch.target_pos[:, added:] == plain.target_pos).all()
    for ids, targets, places in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
        asked = np.flatnonzero(targets[:added] != IGNORE)
        assert len(asked) == CHAINS * task.hops
        for target, place in zip(targets[asked], places[asked], strict=True):
            question = np.concatenate([ids[: place + 1], [QUERY, ids[place - 1], SEP]])
            assert task.oracle(question[None])[0] == target
