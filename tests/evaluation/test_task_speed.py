"""The speed table."""

from __future__ import annotations

import numpy as np

from synapnet_edge.evaluation.task_speed import COLUMNS, speed_table

SETTINGS = {"batch": 2, "length": 64, "readouts": 3, "repeats": 7, "seed": 1}


def test_every_task_is_measured_making_training_and_evaluation_rows():
    table = speed_table(["ruler/vt", "longbench/passage_count"], SETTINGS)
    assert list(table.columns) == COLUMNS
    assert table["made"].tolist() == ["training", "evaluation"] * 2
    assert table["length"].tolist() == [64, 64, 609, 609]  # at least what the task needs
    assert (table["repeats"] == 7).all()
    assert (table["tokens_per_second"] > 0).all()
    assert table["ci_low"].le(table["tokens_per_second"]).all()
    assert table["ci_high"].ge(table["tokens_per_second"]).all()
    assert table["readouts"].isna().tolist() == [False, True] * 2


def test_too_few_repeats_have_no_interval():
    table = speed_table(["ruler/vt"], {**SETTINGS, "repeats": 3})
    assert np.isnan(table["ci_low"]).all() and np.isnan(table["ci_high"]).all()
