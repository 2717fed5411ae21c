"""The guard table: it passes honest tasks, and finds what a leaky one gives away."""

from __future__ import annotations

import numpy as np
import pytest

from synapnet_edge.evaluation import guard_rows
from synapnet_edge.evaluation.guards import Context
from synapnet_edge.evaluation.set_shortcuts import set_shortcuts
from synapnet_edge.evaluation.task_guards import COLUMNS, guard_table, measure_guards
from synapnet_edge.tasks import TASKS
from synapnet_edge.tasks.layout import ANSWER_START
from synapnet_edge.tasks.ruler import Cwe, NiahMultikey1
from synapnet_edge.tasks.sets import SetTask

SETTINGS = {"rows": 60, "lengths": [128], "probe_rows": 400, "probe_lengths": [128], "seed": 3}
A, B, C = ANSWER_START, ANSWER_START + 1, ANSWER_START + 2
W = 2000  # background


class Leaky(NiahMultikey1):
    """The asked pair has the value that the question's padding repeats, and an oracle that is often wrong."""

    def _build(self, rng, batch, length, readouts):
        rows = super()._build(rng, batch, length, readouts)
        rows.input_ids[:, -4] = ANSWER_START + rows.targets[:, -1]  # inside the context, outside the question
        return rows

    def oracle(self, input_ids):
        found = super().oracle(input_ids)
        return np.where(np.arange(len(found)) % 2, found, (found + 1) % 64)


class Telling(NiahMultikey1):
    """The asked name tells the answer."""

    def _build(self, rng, batch, length, readouts):
        rows = super()._build(rng, batch, length, readouts)
        rows.input_ids[:, -2] = self.layout.name_start + rows.targets[:, -1]
        return rows


def measured(task, length=128, **changes):
    return {item.guard: item for item in measure_guards(task, length, {**SETTINGS, **changes})}


def test_every_kind_of_task_has_all_guards_and_keeps_to_its_bounds():
    """One and several read-outs, read-outs inside the row, several right answers."""
    names = ["ruler/niah_multikey_1", "needlebench/mkn", "mqar/mqar64", "ruler/niah_multivalue", "ruler/cwe"]
    table = guard_table(names, SETTINGS)
    assert list(table.columns) == COLUMNS and len(table) == 5 * len(names)
    assert table["within"].all(), table[~table["within"]]
    assert (table["n"] == 60).all()
    assert ((table["ci_low"] <= table["score"]) & (table["score"] <= table["ci_high"])).all()
    oracle = table[table["guard"] == "oracle"]
    assert (oracle["score"] == 1).all() and (oracle["bound"] == 1).all()


def test_probes_are_trained_where_asked_only():
    table = guard_table(["ruler/niah_single_2"], {**SETTINGS, "lengths": [64, 128]})
    assert set(table[table["length"] == 64]["guard"]) == {"oracle", "heuristic"}
    assert len(table[table["length"] == 128]) == 5


def test_a_task_that_needs_more_tokens_is_measured_at_its_shortest_length():
    table = guard_table(["longbench/passage_count"], {**SETTINGS, "rows": 4, "probe_rows": 70})
    assert set(table["length"]) == {TASKS.get("longbench/passage_count").min_length}
    assert set(table["guard"]) >= {"majority", "query_only", "context_only"}


def test_an_answer_beside_the_question_is_found_by_a_heuristic_and_a_wrong_oracle_is_seen():
    found = measured(Leaky())
    assert found["heuristic"].solver == "last_answer" and found["heuristic"].shares.mean() == 1
    assert found["oracle"].shares.mean() == pytest.approx(0.5)


def test_a_question_that_tells_the_answer_is_found_by_the_probe_on_it():
    found = measured(Telling(), probe_rows=3000)
    assert found["query_only"].shares.mean() > 0.5
    assert found["majority"].shares.mean() < 0.1


def test_leaks_are_marked_in_the_table(monkeypatch):
    task = Leaky()
    task.name = "own/leaky"
    monkeypatch.setitem(TASKS._items, task.name, task)
    table = guard_table([task.name], SETTINGS).set_index("guard")
    assert not table.loc["oracle", "within"] and not table.loc["heuristic", "within"]
    assert table.loc["majority", "within"]


def test_an_oracle_of_another_shape_names_task_found_and_expected():
    class Short(NiahMultikey1):
        def oracle(self, input_ids):
            return super().oracle(input_ids)[:-1]

    with pytest.raises(ValueError, match=r"niah_multikey_1.*oracle: found \(59,\), expected \(60, 1\)"):
        measured(Short())


@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("reference/niah_single", 2),
        ("reference/mkn", 3),
        ("ruler/niah_multikey_3", 5),
        ("longbench/summarization", 24),
        ("longbench/code_completion", 13),  # the call stands before the first QUERY
        ("longbench/multi_doc_qa", 6),
        ("needlebench/mkn", 32),
        ("mqar/mqar64", 0),
    ],
)
def test_the_question_is_cut_off_whole(name, tail):
    task = TASKS.get(name)
    rows = task.rows(1, 20, max(512, task.min_length))
    assert rows.input_ids.shape[1] - guard_rows.question_start(task, rows) == tail


def test_questions_between_the_rest_are_masked():
    task = TASKS.get("mqar/mqar64")
    batch = task.rows(1, 5, 128)
    rows = guard_rows.evaluation_rows(task, 1, 5, 128)
    assert (np.take_along_axis(rows.context.body, batch.target_pos, 1) == 0).all()
    assert (rows.input_ids == batch.input_ids).all()


def test_no_task_but_those_that_count_is_solved_by_a_count():
    found = measured(Cwe(), 512)
    assert "most_frequent" not in found["heuristic"].solver


def test_shortcuts_of_sets_rank_classes_as_they_say():
    context = Context(np.array([[W, A, B, B, W, C, W, W]]))
    scores = set_shortcuts(context, np.random.default_rng(0))
    order = {name: (-score[0]).argsort()[:3].tolist() for name, score in scores.items()}
    assert order["first_answers"] == [0, 1, 2]
    assert order["last_answers"] == [2, 1, 0]
    assert order["most_frequent_answers"][0] == 1
    assert order["rarest_answers"][2] == 1 and set(order["rarest_answers"]) == {0, 1, 2}
    assert set(order["random_answers"]) == {0, 1, 2}
    assert all(np.isfinite(score).all() for score in scores.values())


def test_every_set_task_is_read_with_its_set():
    names = [name for name in TASKS if isinstance(TASKS.get(name), SetTask)]
    assert names
    for name in names:
        rows = guard_rows.evaluation_rows(TASKS.get(name), 1, 3, 512)
        assert rows.target_set.sum(1).tolist() == [TASKS.get(name).members] * 3
