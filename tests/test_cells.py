"""Which cells a block of the configuration asks for."""

from __future__ import annotations

import pytest

from synapnet_edge.cells import Cell, cells_of, task_names, tokens_of

GRID = {"tasks": ["b", "a"], "lengths": [128, 64], "samples": {"64": 5, 128: 7}}


def test_a_grid_lists_tasks_in_order_and_lengths_ascending():
    assert cells_of(GRID) == [Cell("b", 64, 5), Cell("b", 128, 7), Cell("a", 64, 5), Cell("a", 128, 7)]


def test_cells_are_grids_in_their_order_and_may_differ_by_task():
    block = {"cells": [{**GRID, "tasks": ["b"]}, {"tasks": ["a"], "lengths": [256], "samples": 9}]}
    assert cells_of(block) == [Cell("b", 64, 5), Cell("b", 128, 7), Cell("a", 256, 9)]
    assert task_names(block) == ("b", "a")
    assert tokens_of(block) == 64 * 5 + 128 * 7 + 256 * 9


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"cells": [GRID], "samples": 3}, "found cells and samples, expected either"),
        ({"tasks": ["a"], "lengths": [64]}, "found no samples, expected tasks, lengths and samples"),
        ({**GRID, "sampels": 3}, "unknown keys sampels"),
        ({"cells": [GRID, {**GRID, "tasks": ["a"]}]}, "found a at 64 twice"),
        ({**GRID, "lengths": [64, 32]}, r"no entry for length 32, got \[64, 128\]"),
        ({**GRID, "samples": 0}, "at least 1 sample at length 64, got 0"),
    ],
)
def test_a_block_that_cannot_be_planned_says_what_is_wrong(block, message):
    with pytest.raises(ValueError, match=message):
        cells_of(block)
