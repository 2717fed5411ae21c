"""Background that may stand before a row: no answer changes."""

from __future__ import annotations

import numpy as np
import pytest

from synapnet_edge.tasks import TASKS
from synapnet_edge.tasks.haystacks import HAYSTACKS
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, NUM_CLASSES

ROWS, TOKENS = 32, 2048
WITH_ONE = [name for name in TASKS if TASKS.get(name).haystack is not None]


def test_a_haystack_holds_no_records():
    rng = np.random.default_rng(0)
    reference = HAYSTACKS["reference"](rng, 5000)
    assert (reference >= ANSWER_START + NUM_CLASSES).all() and (reference < LAYOUT.vocab_size).all()
    guarded = HAYSTACKS["guarded"](rng, 5000)
    assert not ((guarded >= LAYOUT.marker_start) & (guarded < LAYOUT.name_start)).any(), (
        "markers begin records"
    )


def test_tasks_that_count_what_the_row_holds_have_none():
    assert {*TASKS} - {*WITH_ONE} == {"ruler/cwe", "ruler/fwe", "mqar/mqar64"}


@pytest.mark.parametrize("name", WITH_ONE)
def test_an_exact_solver_answers_the_same_behind_a_haystack(name):
    task, rng = TASKS.get(name), np.random.default_rng(0)
    rows = task.rows(3, ROWS, max(512, task.min_length), split="validation").input_ids
    before = np.stack([HAYSTACKS[task.haystack](rng, TOKENS) for _ in range(ROWS)])
    behind = rows.copy()
    behind[:, 0] = np.where(rows[:, 0] == BOS, before[:, 0], rows[:, 0])
    before[:, 0] = BOS
    whole = np.concatenate([before, behind], axis=1)
    alone, found = (task.oracle(ids).reshape(ROWS, -1) for ids in (rows, whole))
    same = (alone == found).all(axis=1)
    assert same.sum() >= ROWS - 1, "a pair of the asked name comes about by chance in 2 of 1,000 haystacks"
