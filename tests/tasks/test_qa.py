from collections import Counter

import numpy as np
import pytest

from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, Layout
from synapnet_edge.tasks.ruler import Qa1, Qa2
from synapnet_edge.tasks.ruler.qa import DOCUMENTS, ENTITIES, LINKS, RELATIONS

FACT, DOC = LAYOUT.marker("FACT"), LAYOUT.marker("DOC")
N, L = 4000, 320


@pytest.fixture(scope="module")
def one():
    task = Qa1()
    return task, task.training_batch(np.random.default_rng(1), N, L, 1)


@pytest.fixture(scope="module")
def two():
    task = Qa2()
    return task, task.training_batch(np.random.default_rng(2), N, L, 1)


def _facts(ids):
    """(entity, relation) -> token of every fact, and their places."""
    places = np.flatnonzero(ids == FACT)
    found = {(int(e), int(r)): int(x) for e, r, x in ids[places[:, None] + np.arange(1, 4)]}
    assert len(found) == len(places), "an entity has a relation twice"
    return found


def _bump(ids, places):
    """The values of the facts at `places` become the next class, in place."""
    ids[places + 3] = ANSWER_START + (ids[places + 3] - ANSWER_START + 1) % 64


def test_every_entity_has_the_same_relations_with_values(one):
    for ids in one[1].input_ids[:200]:
        facts = _facts(ids)
        entities, relations = ({key[i] for key in facts} for i in range(2))
        assert (len(entities), len(relations), len(facts)) == (ENTITIES, RELATIONS, ENTITIES * RELATIONS)
        assert all(ANSWER_START <= token < LAYOUT.answer_stop for token in facts.values())


def test_links_lead_to_every_bridge_equally_often_and_bridges_have_all_values(two):
    for ids in two[1].input_ids[:200]:
        facts = _facts(ids)
        links = {key: token for key, token in facts.items() if token >= LAYOUT.name_start}
        values = {key: token for key, token in facts.items() if token < LAYOUT.answer_stop}
        assert len(links) == ENTITIES * LINKS and len(values) == ENTITIES * RELATIONS
        assert set(Counter(links.values()).values()) == {LINKS}
        bridges = {key[0] for key in values}
        assert bridges == set(links.values()) and bridges.isdisjoint(key[0] for key in links)
        targets = {entity: {links[key] for key in links if key[0] == entity} for entity, _ in links}
        assert all(len(found) == LINKS for found in targets.values())


@pytest.mark.parametrize("which", ["one", "two"])
def test_every_document_holds_the_same_number_of_facts(which, request):
    task, rows = request.getfixturevalue(which)
    for ids in rows.input_ids[:200]:
        headers = np.flatnonzero(ids == DOC)
        facts = np.flatnonzero(ids == FACT)
        assert len(headers) == DOCUMENTS
        assert (np.bincount(np.searchsorted(headers, facts) - 1) == task.facts // DOCUMENTS).all()


def test_half_of_the_second_hops_stand_before_the_first(two):
    first, second = two[1].meta["target_needle"].T
    assert abs((second < first).mean() - 0.5) < 5 * 0.5 / np.sqrt(N)


def test_an_entity_is_spread_over_the_documents(one):
    _, rows = one
    document = (rows.meta["needle_pos"][:, :, None] > rows.meta["document_pos"][:, None, :]).sum(2)
    entity = np.take_along_axis(rows.input_ids, rows.meta["needle_pos"] + 1, 1)
    same = (entity[:, :, None] == entity[:, None, :]) & (document[:, :, None] == document[:, None, :])
    # A second fact of the same entity is in the same document with probability 7 / 31.
    pairs = (same.sum() - same.shape[0] * same.shape[1]) / (N * ENTITIES * RELATIONS * (RELATIONS - 1))
    assert pairs == pytest.approx(7 / 31, abs=0.01)


def test_partial_answers_to_one_hop_reach_the_documented_levels(one):
    task, rows = one
    rng = np.random.default_rng(0)
    hits = np.zeros(4)
    for ids, label in zip(rows.input_ids, rows.targets[:, 0], strict=True):
        facts = _facts(ids)
        entity, relation = ids[-3], ids[-2]
        own = [token for key, token in facts.items() if key[0] == entity]
        related = [token for key, token in facts.items() if key[1] == relation]
        guesses = Counter(own).most_common(1)[0][0], *map(rng.choice, (own, related, list(facts.values())))
        hits += np.array(guesses) - ANSWER_START == label
    assert hits / N == pytest.approx([task.guess(L), 0.26, 0.14, 0.05], abs=0.025)
    assert task.guess(L) == pytest.approx(0.27, abs=0.005)


def test_partial_answers_to_two_hops_reach_the_documented_levels(two):
    task, rows = two
    rng = np.random.default_rng(0)
    hits = np.zeros(3)
    for ids, label in zip(rows.input_ids, rows.targets[:, 0], strict=True):
        facts = _facts(ids)
        entity, link, relation = ids[-4:-1]
        any_link = [token for key, token in facts.items() if key[0] == entity]
        bridge = facts[entity, link]
        guesses = (
            facts[rng.choice(any_link), relation],
            rng.choice([token for key, token in facts.items() if key[0] == bridge]),
            rng.choice([token for key, token in facts.items() if key[1] == relation]),
        )
        hits += np.array(guesses) - ANSWER_START == label
    assert hits / N == pytest.approx([task.guess(L), 0.26, 0.14], abs=0.03)
    assert task.guess(L) == pytest.approx(0.51, abs=0.005)


@pytest.mark.parametrize("which", ["one", "two"])
def test_changing_the_asked_value_changes_the_label_and_other_values_do_not(which, request):
    task, rows = request.getfixturevalue(which)
    ids, labels = rows.input_ids[:300].copy(), rows.targets[:300, 0]
    for row, places, target in zip(
        ids, rows.meta["needle_pos"][:300], rows.meta["target_needle"][:300, -1], strict=True
    ):
        valued = places[row[places + 3] < LAYOUT.answer_stop]
        _bump(row, valued[valued != target])
    assert (task.oracle(ids) == labels).all()
    ids[np.arange(300), rows.meta["target_needle"][:300, -1] + 3] = ANSWER_START + (labels + 1) % 64
    assert (task.oracle(ids) == (labels + 1) % 64).all()


def test_moving_the_asked_link_changes_the_label_and_the_other_link_does_not(two):
    task, rows = two
    for ids, (first, _) in zip(rows.input_ids[:200], rows.meta["target_needle"][:200], strict=True):
        facts = _facts(ids)
        label = task.oracle(ids[None])[0]
        other = next(p for p in np.flatnonzero(ids == FACT) if ids[p + 1] == ids[first + 1] and p != first)
        unrelated, moved = ids.copy(), ids.copy()
        unrelated[other + 3] = ids[first + 3]
        assert task.oracle(unrelated[None])[0] == label
        moved[first + 3] = ids[other + 3]
        assert task.oracle(moved[None])[0] == facts[ids[other + 3], ids[-2]] - ANSWER_START


def test_training_blocks_use_every_argument_and_only_complete_facts(two):
    task, _ = two
    batch = task.training_batch(np.random.default_rng(3), 100, 1024, 8)
    inner = batch.targets[:, :-1] >= 0
    assert inner.mean() > 0.9
    for row, column in zip(*np.nonzero(inner), strict=True):
        place = batch.target_pos[row, column]
        ids = batch.input_ids[row, : place + 1]
        facts = _facts(ids[:-5])
        bridge = facts[ids[-4], ids[-3]]
        assert facts[bridge, ids[-2]] - ANSWER_START == batch.targets[row, column]


def test_layouts_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="needs 16 names, only 15"):
        Qa2(layout=Layout(names=15))
    with pytest.raises(ValueError, match="needs 4 relations, only 3"):
        Qa1(Layout(relations=3))
