import logging

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from synapnet_edge.artifacts import read_json
from synapnet_edge.evaluation import COLUMNS, evaluate_task, run_suite
from synapnet_edge.evaluation.runner import ROW_COLUMNS
from synapnet_edge.registry import UnknownNameError
from synapnet_edge.tasks import TASKS

SINGLE, MKN, GUARDED = (
    TASKS.get(name) for name in ("reference/niah_single", "reference/mkn", "ruler/niah_multikey_1")
)
NAMES = {"model_name": "oracle", "variant": "fp16", "backend": "reference", "seed": 1, "progress": False}


class OracleModel(nn.Module):
    """Answers through a task's oracle; wrong on purpose on every `miss`-th row it ever sees."""

    def __init__(self, task, miss=None, fail_after=None):
        super().__init__()
        self.task, self.miss, self.fail_after = task, miss, fail_after
        self.rows, self.batches, self.modes = 0, [], []

    def forward(self, ids):
        if self.fail_after is not None and len(self.batches) >= self.fail_after:
            raise KeyboardInterrupt
        self.batches.append(tuple(ids.shape))
        self.modes.append((self.training, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        labels = self.task.oracle(ids.numpy())
        if self.miss:
            index = np.arange(self.rows, self.rows + len(labels))
            labels = np.where(index % self.miss == 0, (labels + 1) % 64, labels)
        self.rows += len(labels)
        return nn.functional.one_hot(torch.from_numpy(labels), 64).float()


def _config(*tasks, lengths=(64, 128), samples=10):
    return {"tasks": list(tasks), "lengths": list(lengths), "samples": samples, "test_seed": 7}


def test_a_perfect_model_scores_one_and_a_flawed_one_its_share():
    assert evaluate_task(OracleModel(SINGLE), SINGLE, seed=1, n=50, length=64)["score"] == 1.0
    result = evaluate_task(OracleModel(SINGLE, miss=5), SINGLE, seed=1, n=50, length=64)
    assert result["score"] == pytest.approx(0.8)
    assert result["ci_low"] < 0.8 < result["ci_high"]
    assert result["scores"]["accuracy"].shape == (50,) and not result["scores"]["accuracy"][::5].any()


def test_batches_respect_the_token_budget_and_cover_all_rows():
    model, seen = OracleModel(GUARDED), []
    evaluate_task(model, GUARDED, seed=1, n=10, length=64, batch_tokens=4 * 64 + 5, progress=seen.append)
    assert model.batches == [(4, 64), (4, 64), (2, 64)]
    assert sum(seen) == 640
    model = OracleModel(GUARDED)
    evaluate_task(model, GUARDED, seed=1, n=2, length=64, batch_tokens=1)
    assert model.batches == [(1, 64), (1, 64)]


def test_a_module_is_evaluated_without_gradient_and_gets_its_mode_back():
    model = OracleModel(SINGLE).train()
    evaluate_task(model, SINGLE, seed=1, n=4, length=64)
    assert model.modes == [(False, False, False)]
    assert model.training
    evaluate_task(model, SINGLE, seed=1, n=4, length=64, autocast=True)
    assert model.modes[-1] == (False, False, True)


def test_rows_do_not_depend_on_the_batch_size():
    results = [
        evaluate_task(OracleModel(MKN, miss=3), MKN, seed=2, n=30, length=64, batch_tokens=tokens)["scores"]
        for tokens in (64, 10**6)
    ]
    assert (results[0]["accuracy"] == results[1]["accuracy"]).all()


def test_the_table_has_exactly_the_contracted_columns_and_one_row_per_cell():
    table, _ = run_suite(
        OracleModel(SINGLE), "ruler_reference", _config(SINGLE.name, lengths=(128, 64)), **NAMES
    )
    assert list(table.columns) == COLUMNS
    assert table["length"].tolist() == [64, 128]
    row = table.iloc[0]
    assert (row["suite"], row["task"], row["variant"]) == ("ruler_reference", SINGLE.name, "fp16")
    assert (row["n"], row["score"], row["chance"], row["guess"]) == (10, 1.0, 1 / 64, 1.0)


def test_the_scores_of_rows_add_up_to_the_cells_and_carry_their_depth():
    config = _config(SINGLE.name, MKN.name, lengths=[128])
    model = OracleModel(SINGLE, miss=3)
    table, rows = run_suite(model, "s", config, **NAMES)
    assert list(rows.columns) == ROW_COLUMNS and len(rows) == 20
    means = rows.groupby("task")["score"].mean()
    assert table.set_index("task")["score"].to_dict() == means.to_dict()
    single = rows[rows["task"] == SINGLE.name]
    assert single["row"].tolist() == list(range(10))
    np.testing.assert_allclose(single["depth"], SINGLE.rows(7, 10, 128).meta["depth"])


def test_a_task_of_several_answers_is_scored_by_recall_and_one_of_several_outputs_in_all_its_metrics():
    def ranked(ids, positions=None):
        """The right set and wrong single answers: every logit of the set is high."""
        task = TASKS.get("ruler/niah_multivalue")
        logits = torch.from_numpy(task.oracle(ids.numpy())).float()
        return logits

    config = _config("ruler/niah_multivalue", lengths=[256], samples=6)
    table, rows = run_suite(ranked, "s", config, **NAMES)
    assert table.loc[0, ["metric", "score"]].tolist() == ["recall", 1.0]
    config = _config("longbench/code_completion", lengths=[512], samples=3)
    table, rows = run_suite(lambda ids, positions: torch.zeros(len(ids), 3, 64), "s", config, **NAMES)
    assert table["metric"].tolist() == ["accuracy"]
    assert set(rows["metric"]) == {"accuracy", "exact_match", "edit_similarity"} and len(rows) == 9


def test_a_task_that_asks_at_many_depths_has_a_line_for_each_of_them():
    config = _config("needlebench/mkn", lengths=[512], samples=4)
    _, rows = run_suite(lambda ids, positions: torch.zeros(len(ids), 11, 64), "s", config, **NAMES)
    single = rows[rows["metric"] == "readout_accuracy"]
    assert len(single) == 44 and set(single["score"]) <= {0.0, 1.0}
    assert sorted(single.loc[single["row"] == 2, "depth"]) == [depth / 10 for depth in range(11)]
    of_rows = rows[rows["metric"] == "accuracy"]
    np.testing.assert_allclose(single.groupby("row")["score"].mean(), of_rows["score"])


def test_every_variant_and_trained_seed_sees_the_same_rows():
    class Recorder(OracleModel):
        def forward(self, ids):
            self.seen = ids.clone()
            return super().forward(ids)

    models = [Recorder(GUARDED), Recorder(GUARDED)]
    for model, seed, variant in zip(models, (1, 2), ("fp16", "int4"), strict=True):
        names = {**NAMES, "seed": seed, "variant": variant}
        run_suite(model, "ruler", _config(GUARDED.name, lengths=[64]), **names)
    assert torch.equal(models[0].seen, models[1].seen)


def test_sample_counts_may_differ_by_length_also_with_text_keys():
    table, _ = run_suite(OracleModel(SINGLE), "s", _config(SINGLE.name, samples={"64": 5, 128: 7}), **NAMES)
    assert table["n"].tolist() == [5, 7]
    with pytest.raises(ValueError, match=r"no entry for length 128, got \[64\]"):
        run_suite(OracleModel(SINGLE), "s", _config(SINGLE.name, samples={64: 5}), **NAMES)


def test_cells_give_each_task_its_own_lengths_and_rows():
    cells = [
        {"tasks": [SINGLE.name], "lengths": [64, 256], "samples": {64: 3, 256: 2}},
        {"tasks": [MKN.name], "lengths": [128], "samples": 4},
    ]
    table, _ = run_suite(OracleModel(SINGLE), "s", {"cells": cells, "test_seed": 7}, **NAMES)
    assert list(zip(table["task"], table["length"], table["n"], strict=True)) == [
        (SINGLE.name, 64, 3),
        (SINGLE.name, 256, 2),
        (MKN.name, 128, 4),
    ]
    grid = {"tasks": [SINGLE.name], "lengths": [64], "samples": 3, "test_seed": 7}
    alone, _ = run_suite(OracleModel(SINGLE, miss=2), "s", grid, **NAMES)
    within, _ = run_suite(OracleModel(SINGLE, miss=2), "s", {"cells": cells, "test_seed": 7}, **NAMES)
    assert alone["score"].iloc[0] == within["score"].iloc[0]  # rows depend on the cell, not on the suite


def test_a_long_input_is_scored_row_by_row_within_the_token_budget():
    model = OracleModel(SINGLE)
    evaluate_task(model, SINGLE, seed=1, n=5, length=32768)
    assert model.batches == [(2, 32768), (2, 32768), (1, 32768)]


def test_without_a_task_list_the_whole_suite_runs():
    config = _config(lengths=[64], samples=2)
    del config["tasks"]
    table, _ = run_suite(lambda ids: torch.zeros(len(ids), 64), "needlebench_reference", config, **NAMES)
    assert len(table) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ["reference/niah_singel"]}, "did you mean.*reference/niah_single"),
        ({"lengths": [16]}, "at least 32 tokens, got 16"),
        ({"samples": 0}, "at least 1 sample"),
        ({"sample": 3}, r"unknown keys \['sample'\]"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(change, message):
    model = OracleModel(SINGLE)
    with pytest.raises(ValueError, match=message):
        run_suite(model, "ruler_reference", {**_config(SINGLE.name), **change}, **NAMES)
    assert model.batches == []


def test_unknown_tasks_raise_the_registry_error():
    with pytest.raises(UnknownNameError):
        run_suite(OracleModel(SINGLE), "ruler", _config("ruler/niah_multikey"), **NAMES)


def test_a_killed_run_continues_after_its_last_finished_cell(tmp_path):
    partial, config = tmp_path / "cells.json", _config(SINGLE.name, lengths=(32, 64, 128))
    killed = OracleModel(SINGLE, fail_after=2)
    with pytest.raises(KeyboardInterrupt):
        run_suite(killed, "ruler_reference", config, partial=partial, **NAMES)
    assert len(read_json(partial)["cells"]) == 2
    resumed = OracleModel(SINGLE)
    resumed_tables = run_suite(resumed, "ruler_reference", config, partial=partial, **NAMES)
    assert resumed.batches == [(10, 128)]
    whole_tables = run_suite(OracleModel(SINGLE), "ruler_reference", config, **NAMES)
    for table, whole in zip(resumed_tables, whole_tables, strict=True):
        pd.testing.assert_frame_equal(table, whole)


@pytest.mark.parametrize("change", [{"variant": "int4"}, {"seed": 2}, {"identity": "other weights"}])
def test_cells_of_another_run_are_not_reused(tmp_path, change, caplog):
    partial, config = tmp_path / "cells.json", _config(SINGLE.name)
    run_suite(OracleModel(SINGLE), "ruler_reference", config, partial=partial, **NAMES)
    model = OracleModel(SINGLE)
    with caplog.at_level(logging.WARNING):
        run_suite(model, "ruler_reference", config, partial=partial, **{**NAMES, **change})
    assert len(model.batches) == 2
    assert "belongs to another run" in caplog.text
