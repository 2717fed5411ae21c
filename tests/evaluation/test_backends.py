"""The same rows through every backend, and how often the answers agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.evaluation.backends import BACKEND_COLUMNS, REFERENCE, ROUNDED, compare_backends
from synapnet_edge.profiling.random_models import write_random
from synapnet_edge.runtime import load_model
from synapnet_edge.tasks.catalog import TASKS

CELLS = {"tasks": ["reference/niah_single", "reference/fa"], "lengths": [64], "samples": 6, "test_seed": 1}
CFG = SynapNetEdgeConfig(
    dim=32, depth=1, heads=2, episodic_slots=4, chunk_len=16, window=8, top_k=4, ff_hidden=64
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_random(CFG.to_dict(), ["fp16", "int4"], tmp_path_factory.mktemp("packed"))


def compared(path, runtimes, variant):
    owner = {"model_name": "small_random", "variant": variant, "seed": 0, "progress": False}
    return compare_backends(path, CELLS, runtimes, **owner)


def test_every_answer_is_compared_with_the_reference(files):
    table = compared(files["int4"], ["fast"], "int4").set_index(["backend", "task"])
    assert list(table.reset_index()[BACKEND_COLUMNS]) == BACKEND_COLUMNS
    assert (table["status"] == "ok").all() and (table.loc[REFERENCE, "same_answer"] == 1).all()
    assert (table.loc[ROUNDED, "same_answer_rounded"] == 1).all()
    rows = TASKS.get("reference/fa").rows(1, 6, 64)
    answers = [
        load_model(files["int4"], backend).forward(
            torch.from_numpy(rows.input_ids), positions=torch.from_numpy(rows.target_pos)
        ).argmax(-1).detach().numpy()
        for backend in ("fast", "reference")
    ]  # fmt: skip
    cell = table.loc["fast", :].loc["reference/fa"]
    assert cell["read_outs"] == answers[0].size
    assert cell["same_answer"] == pytest.approx((answers[0] == answers[1]).mean())
    assert cell["score"] == pytest.approx((answers[0] == rows.targets).mean())


def test_float_files_have_no_rounded_reference_and_missing_packages_are_named(files, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    table = compared(files["fp16"], ["onnx"], "fp16")
    assert set(table["backend"]) == {REFERENCE, "onnx"}
    absent = table[table["backend"] == "onnx"]
    assert len(absent) == 1 and "onnxruntime" in absent["status"].item() and np.isnan(absent["score"].item())
    assert table.loc[table["backend"] == REFERENCE, "same_answer_rounded"].isna().all()
