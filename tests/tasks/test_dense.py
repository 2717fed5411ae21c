"""The dense regime plants records in proportion to the length, and is the plain task otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from synapnet_edge.tasks import TASKS
from synapnet_edge.tasks.ruler import NiahMultikey1

TASK = TASKS.get("ruler/niah_multikey_1_dense")


@pytest.mark.parametrize(("length", "records"), [(64, 4), (512, 8), (1024, 16), (4096, 64)])
def test_records_grow_with_the_length(length, records):
    rows = TASK.rows(3, 4, length)
    assert rows.meta["needle_pos"].shape == (4, records)
    assert TASK.guess(length) == NiahMultikey1(records).guess(length)


def test_rows_are_those_of_the_plain_task_with_that_many_pairs():
    seed = np.random.SeedSequence(5)
    dense = TASK.training_batch(np.random.default_rng(seed), 3, 1024, 6)
    plain = NiahMultikey1(16).training_batch(np.random.default_rng(seed), 3, 1024, 6)
    np.testing.assert_array_equal(dense.input_ids, plain.input_ids)
    np.testing.assert_array_equal(dense.targets, plain.targets)


def test_the_solver_is_right_and_no_row_is_that_of_another_task():
    rows = TASK.rows(3, 50, 1024)
    np.testing.assert_array_equal(TASK.oracle(rows.input_ids), rows.targets[:, -1])
    assert not np.array_equal(rows.input_ids, NiahMultikey1(16).rows(3, 50, 1024).input_ids)
