"""The guards of the LongBench-style suite and what is particular to its tasks."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from synapnet_edge.evaluation import guards
from synapnet_edge.tasks import IGNORE, TASKS, suite_tasks
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.longbench import (
    CodeCompletion,
    FewShotIcl,
    MultiDocQa,
    PassageCount,
    PassageRetrieval,
    SingleDocQa,
    Summarization,
)

# First bytes of the hash of rows(5, 6, max(256, shortest)): a change raises the task's version.
GOLDEN = {
    "longbench/single_doc_qa": "64a5ac0bb64f11f6",
    "longbench/multi_doc_qa": "d3ed129493b71792",
    "longbench/summarization": "4024872df3801c02",
    "longbench/few_shot_icl": "a4a25c1418dfc045",
    "longbench/code_completion": "a0364f196c716542",
    "longbench/passage_retrieval": "bbf784fb5f20e1f2",
    "longbench/passage_count": "d6ff178ff001b19e",
}
TAILS = {"longbench/summarization": 24, "longbench/code_completion": 16, "longbench/passage_retrieval": 12}
FINAL = {"longbench/summarization": 8, "longbench/code_completion": 3}
LABELS = {"longbench/passage_retrieval": range(16), "longbench/passage_count": range(6, 19)}
N = 1500


@pytest.fixture(scope="module", params=GOLDEN)
def task(request):
    return TASKS.get(request.param)


@pytest.fixture(scope="module")
def rows(task):
    return _draw(task, 21, N)


def _draw(task, seed, n, readouts=1):
    length = max(320, task.min_length + 40)
    return task.training_batch(np.random.default_rng(seed), n, length, readouts)


def _oracle(task, ids):
    return task.oracle(ids).reshape(len(ids), -1)


def _bound(share, n):
    return share + 3 * guards.standard_error(share, n)


def test_the_suite_lists_every_task():
    assert suite_tasks("longbench") == list(GOLDEN)


@pytest.mark.parametrize(("length", "n"), [("shortest", 100), (512, 50), (1024, 50), (4096, 5)])
def test_the_oracle_solves_every_row(task, length, n):
    length = task.min_length if length == "shortest" else max(length, task.min_length)
    rows = task.rows(3, n, length)
    assert rows.targets.shape == (n, FINAL.get(task.name, 1))
    assert (_oracle(task, rows.input_ids) == rows.targets).all()


def test_labels_are_balanced_and_independent_of_depth(task, rows):
    possible = LABELS.get(task.name, range(64))
    for labels in rows.targets.T:
        assert labels.min() >= possible.start and labels.max() < possible.stop
        assert guards.balance_p_value(labels - possible.start, len(possible)) > 1e-3
        assert stats.spearmanr(labels, rows.meta["depth"]).pvalue > 1e-3


def test_no_heuristic_beats_the_stated_guess(task, rows):
    context = guards.Context(rows.input_ids[:, : -TAILS.get(task.name, 8)])
    for labels in rows.targets[:, [0, -1]].T:
        scores = guards.heuristic_scores(context, labels, np.random.default_rng(0))
        for name, score in scores.items():
            assert score <= _bound(task.guess(rows.input_ids.shape[1]), N), name


def test_the_query_alone_says_nothing(task, rows):
    length, half = rows.input_ids.shape[1], N // 2
    labels, tail = rows.targets[:, 0], rows.input_ids[:, -TAILS.get(task.name, 8) :]
    features = guards.hashed_positions(tail, buckets=16)
    score = guards.logistic_probe(
        (features[:half], labels[:half]), (features[half:], labels[half:]), iterations=12
    )
    assert score <= _bound(task.chance(length), half)


def test_a_bag_of_the_context_stays_at_the_guess(task, rows):
    half, labels = N // 2, rows.targets[:, 0]
    bag = guards.bag_of_tokens(rows.input_ids[:, : -TAILS.get(task.name, 8)], 64)
    score = guards.logistic_probe((bag[:half], labels[:half]), (bag[half:], labels[half:]), iterations=20)
    assert score <= _bound(task.guess(rows.input_ids.shape[1]), half)


def test_permuting_ids_of_one_kind_leaves_labels_unchanged(task, rows):
    rng = np.random.default_rng(4)
    table = np.arange(LAYOUT.vocab_size)
    step = 16 if task.name == "longbench/few_shot_icl" else 1  # its groups of names are part of the task
    kinds = [slice(LAYOUT.relation_start, LAYOUT.name_start), slice(LAYOUT.background_start, None)]
    kinds += [slice(LAYOUT.name_start + i, LAYOUT.name_stop, step) for i in range(step)]
    for kind in kinds:
        table[kind] = rng.permutation(table[kind])
    assert (_oracle(task, table[rows.input_ids[:100]]) == rows.targets[:100]).all()


def test_rows_are_those_of_their_version_and_independent_of_their_number(task):
    length = max(256, task.min_length)
    many = task.rows(5, 6, length)
    assert hashlib.sha256(many.input_ids.tobytes()).hexdigest().startswith(GOLDEN[task.name])
    assert GOLDEN[task.name]
    assert (task.row(5, 4, length).input_ids[0] == many.input_ids[4]).all()
    hashes = [guards.row_hashes(task.rows(5, 6, length, split).input_ids) for split in ("train", "test")]
    assert len(set.union(*hashes)) == 12


def test_a_row_begins_with_bos_and_ends_in_the_tail(task, rows):
    tail = TAILS.get(task.name, 8)
    length = rows.input_ids.shape[1]
    starts = np.sort(rows.meta["needle_pos"], axis=1)
    assert (rows.input_ids[:, 0] == BOS).all() and (rows.input_ids[:, -1] == SEP).all()
    assert (starts[:, 0] >= 1).all() and (starts[:, -1] + task.needle_width <= length - tail).all()
    assert (np.diff(starts, axis=1) >= task.needle_width).all()
    assert ((rows.input_ids == QUERY).sum(1) == FINAL.get(task.name, 1)).all()
    target = rows.meta["target_needle"]
    known = (target[:, :, None] == rows.meta["needle_pos"][:, None, :]).any(2)
    assert (known | (target < 0)).all()
    first = target.min(1, where=target >= 0, initial=length)
    assert np.allclose(rows.meta["depth"] * length, first)


@pytest.mark.parametrize("length", [640, 1024])
def test_every_readout_is_the_task_on_its_prefix(task, length):
    batch = task.training_batch(np.random.default_rng(7), 12, length, 14)
    assert (batch.target_pos[:, -1] == length - 1).all()
    assert (batch.target_pos[batch.targets == IGNORE] == length - 1).all()
    assert ((batch.input_ids == QUERY).sum(1) == (batch.targets != IGNORE).sum(1)).all()
    assert (batch.targets != IGNORE).sum(1).min() > FINAL.get(task.name, 1) or length < 1024
    for ids, targets, places in zip(batch.input_ids, batch.targets, batch.target_pos, strict=True):
        for target, place in zip(targets[targets != IGNORE], places[targets != IGNORE], strict=True):
            assert ids[place] == SEP
            assert _oracle(task, ids[None, : place + 1])[0, -1] == target


def test_a_long_row_uses_nearly_all_readouts(task):
    batch = task.training_batch(np.random.default_rng(8), 40, 1024, 8)
    assert (batch.targets != IGNORE).mean() > 0.9
    again, other = (
        task.training_batch(np.random.default_rng(seed), 40, 1024, 8).input_ids for seed in (8, 9)
    )
    assert (batch.input_ids == again).all() and (again != other).any()


def test_a_sequence_one_token_too_short_is_refused(task):
    with pytest.raises(ValueError, match=f"at least {task.min_length} tokens, got {task.min_length - 1}"):
        task.rows(0, 1, task.min_length - 1)


def _facts(ids):
    """(entity, relation) -> (last token, place) of every fact."""
    places = np.flatnonzero(ids == LAYOUT.marker("FACT"))
    found = {(int(e), int(r)): (int(x), int(p)) for p in places for e, r, x in [ids[p + 1 : p + 4]]}
    assert len(found) == len(places)
    return found


def _bump(ids, places):
    """The answer tokens at `places` become the next class, in place."""
    ids[places] = ANSWER_START + (ids[places] - ANSWER_START + 1) % 64


def test_every_section_of_the_document_holds_one_fact_of_every_entity():
    rows = _draw(SingleDocQa(), 1, 100)
    for ids, headers in zip(rows.input_ids, rows.meta["section_pos"], strict=True):
        facts = _facts(ids)
        assert len(facts) == 32 and len({r for _, r in facts}) == 4
        found = {(e, int(np.searchsorted(headers, place))) for (e, _), (_, place) in facts.items()}
        assert found == {(e, s) for e, _ in facts for s in (1, 2, 3, 4)}
        assert (ids == LAYOUT.marker("DOC")).sum() == 1 and (ids == LAYOUT.marker("SECTION")).sum() == 4
        assert (ids[headers[0]], ids[headers[0] + 1]) == (LAYOUT.marker("DOC"), LAYOUT.marker("SECTION"))


@pytest.mark.parametrize("make", [SingleDocQa, MultiDocQa])
def test_changing_the_asked_value_changes_the_label_and_other_values_do_not(make):
    task = make()
    rows = _draw(task, 2, 100)
    label = rows.targets[:, 0]
    for ids, places, target in zip(
        rows.input_ids, rows.meta["needle_pos"], rows.meta["target_needle"][:, -1], strict=True
    ):
        valued = places[ids[places + 3] < LAYOUT.answer_stop]
        _bump(ids, valued[valued != target] + 3)
    assert (task.oracle(rows.input_ids) == label).all()
    _bump(rows.input_ids, (np.arange(100), rows.meta["target_needle"][:, -1] + 3))
    assert (task.oracle(rows.input_ids) == (label + 1) % 64).all()


def test_half_of_the_questions_have_two_hops_and_the_rest_three():
    task = MultiDocQa()
    rows = _draw(task, 3, 1000)
    three = rows.meta["hops"] == 3
    assert abs(three.mean() - 0.5) < 5 * 0.5 / np.sqrt(1000)
    assert ((rows.input_ids[:, -6] == QUERY) == three).all()
    assert ((rows.input_ids[:, -5] == QUERY) == ~three).all()
    distinct = np.array([len(set(target)) for target in rows.meta["target_needle"].tolist()])
    assert (distinct == rows.meta["hops"]).all()


def test_a_wrong_link_reaches_half_and_the_four_paths_end_in_four_places():
    task = MultiDocQa()
    rows = _draw(task, 4, 1000)
    hits = {2: [], 3: []}
    for ids, label, hops in zip(rows.input_ids, rows.targets[:, 0], rows.meta["hops"], strict=True):
        facts = {key: token for key, (token, _) in _facts(ids).items()}
        links = {key: token for key, token in facts.items() if token >= LAYOUT.name_start}
        assert len(facts) == 64 and len(links) == 32
        entity = ids[-5] if hops == 3 else ids[-4]
        if hops == 3:
            ends = {
                links[x, r] for e, r1 in links if e == entity for x in [links[e, r1]] for r in _links(links)
            }
            assert len(ends) == 4
            entity = links[entity, ids[-4]]
        other = next(token for (e, r), token in links.items() if e == entity and r != ids[-3])
        assert other != links[entity, ids[-3]]
        followed = (links[entity, ids[-3]], other)[np.random.default_rng(label).integers(2)]
        hits[hops].append(facts[followed, ids[-2]] - ANSWER_START == label)
    for found in hits.values():
        assert np.mean(found) == pytest.approx(task.guess(320), abs=5 * 0.5 / np.sqrt(len(found)))


def _links(links):
    return {relation for _, relation in links}


def _sections(rows):
    """Classes of every section [B, 8, 16]."""
    places = rows.meta["needle_pos"][:, :, None] + np.arange(2, 18)
    content = np.take_along_axis(rows.input_ids, places.reshape(len(rows), -1), 1)
    return content.reshape(places.shape) - ANSWER_START


def test_a_topic_occurs_four_times_and_other_classes_at_most_twice():
    task = Summarization()
    rows = _draw(task, 5, 300)
    content = _sections(rows)
    counts = (content[..., None] == np.arange(64)).sum(2)
    ranked = np.sort(counts, axis=2)
    assert (ranked[..., -1] == 4).all() and (ranked[..., -2] <= 2).all()
    assert (counts.argmax(2) == rows.targets).all()
    where = (content == rows.targets[:, :, None]).mean((0, 1))
    assert where == pytest.approx(task.guess(320), abs=5 * np.sqrt(0.1875 / 2400))
    headers = np.take_along_axis(rows.input_ids, rows.meta["needle_pos"] + 1, 1) - LAYOUT.ordinal_start
    assert (headers == np.arange(1, 9)).all()


def test_a_section_decides_its_own_readout_only_and_order_inside_it_nothing():
    task = Summarization()
    rows = _draw(task, 6, 50)
    for ids, starts, labels in zip(rows.input_ids, rows.meta["needle_pos"], rows.targets, strict=True):
        for start in starts:
            ids[start + 2 : start + 18] = np.random.default_rng(0).permutation(ids[start + 2 : start + 18])
        assert (task.oracle(ids[None])[0] == labels).all()
        _bump(ids, np.arange(starts[2] + 2, starts[2] + 18))
        labels[2] = (labels[2] + 1) % 64
        assert (task.oracle(ids[None])[0] == labels).all()


def test_asked_names_are_new_and_every_group_has_three_examples_of_one_label():
    task = FewShotIcl()
    rows = _draw(task, 7, 200)
    for ids, starts in zip(rows.input_ids, rows.meta["needle_pos"], strict=True):
        names, labels = ids[starts + 1], ids[starts + 2]
        groups = (names - LAYOUT.name_start) % 16
        assert (ids == ids[-2]).sum() == 1 and len(set(names.tolist())) == 64
        assert np.bincount(groups, minlength=16).min() >= 3
        assert len({*zip(groups.tolist(), labels.tolist(), strict=True)}) == len({*labels.tolist()}) == 16
    batch = task.training_batch(np.random.default_rng(8), 50, 512, 12)
    for ids, starts, places in zip(batch.input_ids, batch.meta["needle_pos"], batch.target_pos, strict=True):
        assert not np.isin(ids[starts + 1], ids[places - 1]).any()


def test_labels_of_the_group_decide_and_those_of_other_groups_do_not():
    task = FewShotIcl()
    rows = _draw(task, 9, 100)
    for ids, starts, own, (label,) in zip(
        rows.input_ids, rows.meta["needle_pos"], rows.meta["target_needle"], rows.targets, strict=True
    ):
        _bump(ids, np.setdiff1d(starts, own) + 2)
        assert task.oracle(ids[None])[0] == label
        _bump(ids, own[own >= 0] + 2)
        assert task.oracle(ids[None])[0] == (label + 1) % 64


def test_no_group_of_names_has_a_label_of_its_own():
    rows = _draw(FewShotIcl(), 10, 3000)
    group = (rows.input_ids[:, -2] - LAYOUT.name_start) % 16
    table = np.zeros((16, 64))
    np.add.at(table, (group, rows.targets[:, 0]), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_groups_of_four_functions_share_their_first_arguments():
    task = CodeCompletion()
    rows = _draw(task, 11, 300)
    hits = np.zeros(2)
    for ids, starts, labels in zip(rows.input_ids, rows.meta["needle_pos"], rows.targets, strict=True):
        lines = ids[starts[:, None] + np.arange(1, 7)]
        assert len(set(lines[:, 0].tolist())) == 32
        _, counts = np.unique(lines[:, 1:3], axis=0, return_counts=True)
        assert (counts == 4).all()
        assert ids[-13] == LAYOUT.marker("CALL")
        own = lines[lines[:, 0] == ids[-12]][0]
        assert (own[1:3] == ids[-11:-9]).all() and (own[3:] - ANSWER_START == labels).all()
        same = lines[(lines[:, 1:3] == own[1:3]).all(1)]
        hits += (same[:, 3:] - ANSWER_START == labels).mean(), (own[3:, None] - ANSWER_START == labels).mean()
    assert hits / 300 == pytest.approx([0.26, 0.34], abs=0.02)
    assert task.guess(320) == pytest.approx(0.35, abs=0.005)


def test_changing_an_argument_of_the_called_function_changes_its_readout_alone():
    task = CodeCompletion()
    rows = _draw(task, 12, 60)
    for ids, starts, (own,), labels in zip(
        rows.input_ids, rows.meta["needle_pos"], rows.meta["target_needle"], rows.targets, strict=True
    ):
        for other in starts[starts != own]:
            _bump(ids, np.arange(other + 4, other + 7))
        assert (task.oracle(ids[None])[0] == labels).all()
        _bump(ids, own + 5)  # a4
        assert (task.oracle(ids[None])[0] == [labels[0], (labels[1] + 1) % 64, labels[2]]).all()


@pytest.mark.parametrize(("length", "passages"), [(512, 16), (1024, 30)])
def test_an_abstract_has_six_names_of_its_passage_and_fewer_of_any_other(length, passages):
    task = PassageRetrieval()
    rows = task.training_batch(np.random.default_rng(13), 1000, length, 1)
    hits = 0.0
    for ids, starts, (label,) in zip(rows.input_ids, rows.meta["needle_pos"], rows.targets, strict=True):
        numbers = ids[starts + 1] - ANSWER_START
        assert sorted(numbers) == list(range(passages))
        words = ids[starts[:, None] + np.arange(2, 26)]
        inside = (words[:, :, None] == ids[-9:-1]).any(1)
        overlap = inside.sum(1)
        assert overlap[numbers == label] == 6 and (overlap == 6).sum() == 1 and overlap.max() == 6
        # The stated guess: a passage of the name that is in fewest passages.
        spread = inside.sum(0)
        rarest = inside[:, spread == spread[spread > 0].min()]
        hits += (rarest[numbers == label] / rarest.sum(0)).mean()
    assert hits / 1000 == pytest.approx(task.guess(length), abs=0.05)
    assert task.chance(length) == 1 / passages


def test_swapping_the_numbers_of_two_passages_swaps_the_answer():
    task = PassageRetrieval()
    rows = _draw(task, 14, 60)
    for ids, starts, (own,) in zip(
        rows.input_ids, rows.meta["needle_pos"], rows.meta["target_needle"], strict=True
    ):
        label = task.oracle(ids[None])[0]
        one, two, three = np.setdiff1d(starts, own)[:3] + 1
        ids[[one, two]] = ids[[two, one]]
        assert task.oracle(ids[None])[0] == label
        expected = ids[three] - ANSWER_START
        ids[[own + 1, three]] = ids[[three, own + 1]]
        assert task.oracle(ids[None])[0] == expected


def test_passages_use_the_whole_pool_whatever_their_number():
    rows = _draw(PassageCount(), 15, 300)
    for ids, starts, (label,) in zip(rows.input_ids, rows.meta["needle_pos"], rows.targets, strict=True):
        words = ids[starts[:, None] + np.arange(1, 25)]
        assert len(np.unique(words)) == 64
        assert len(np.unique(words, axis=0)) == label and 6 <= label <= 18
        assert all(len(set(passage)) == 24 for passage in words.tolist())


def test_changing_one_copy_raises_the_count_and_removing_a_passage_lowers_it():
    task = PassageCount()
    rows = _draw(task, 16, 60)
    for ids, starts, (label,) in zip(rows.input_ids, rows.meta["needle_pos"], rows.targets, strict=True):
        words = ids[starts[:, None] + np.arange(1, 25)]
        _, kind, counts = np.unique(words, axis=0, return_inverse=True, return_counts=True)
        kind = kind.ravel()
        copied, single = (np.flatnonzero(counts[kind] > 1), np.flatnonzero(counts[kind] == 1))
        changed = ids.copy()
        changed[starts[copied[0]] + 1 : starts[copied[0]] + 25] = words[copied[0]][::-1]
        assert task.oracle(changed[None])[0] == label + 1
        if len(single):
            ids[starts[single[0]] + 1 : starts[single[0]] + 25] = words[copied[0]]
            assert task.oracle(ids[None])[0] == label - 1


def test_how_often_names_occur_gives_the_count_away_no_better_than_stated():
    task = PassageCount()
    rows = _draw(task, 17, 3000)
    places = (rows.meta["needle_pos"][:, :, None] + np.arange(1, 25)).reshape(3000, -1)
    words = np.take_along_axis(rows.input_ids, places, 1)
    counts = np.stack([np.sort(np.unique(row, return_counts=True)[1]) for row in words])
    squares = (counts**2).sum(1) // 60
    labels = rows.targets[:, 0]
    train, test = slice(0, 2000), slice(2000, None)
    score = guards.table_probe((squares[train], labels[train]), (squares[test], labels[test]))
    assert score <= _bound(task.guess(640), 1000)
    score = guards.logistic_probe((counts[train], labels[train]), (counts[test], labels[test]), penalty=0.01)
    assert score <= _bound(task.guess(640), 1000)


@pytest.mark.parametrize(
    ("make", "layout", "message"),
    [
        (SingleDocQa, Layout(relations=3), "needs 4 relations, only 3"),
        (MultiDocQa, Layout(names=23), "needs 24 names, only 23"),
        (Summarization, Layout(ordinals=8), "needs 9 ordinals, only 8"),
        (Summarization, Layout(num_classes=6), "needs 7 classes, only 6"),
        (FewShotIcl, Layout(names=300), "needs 336 names, only 300"),
        (CodeCompletion, Layout(names=31), "needs 32 names, only 31"),
        (PassageRetrieval, Layout(names=199), "needs 200 names, only 199"),
        (PassageCount, Layout(num_classes=18), "needs 19 classes, only 18"),
    ],
)
def test_layouts_that_are_too_small_are_refused(make, layout, message):
    with pytest.raises(ValueError, match=message):
        make(layout)
