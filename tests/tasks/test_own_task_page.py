"""The example of docs/own_task.md, from its two files to guards and a score."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from synapnet_edge import own_tasks
from synapnet_edge.__main__ import main
from synapnet_edge.catalogue import build
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.config_files import load_config
from synapnet_edge.evaluation import run_suite
from synapnet_edge.evaluation.task_guards import guard_table
from synapnet_edge.evaluation.task_speed import speed_table
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.tasks import TASKS, custom

NAMES = ["own/nth_mark", "own/phone_book"]


@pytest.fixture
def example(repository, tmp_path, monkeypatch):
    """The page's files in a folder, announced; nothing of them is left behind afterwards."""
    page = (repository / "docs" / "own_task.md").read_text(encoding="utf-8")
    for language, name in (("python", "my_tasks.py"), ("yaml", "my.yaml")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
        (tmp_path / name).write_text(block, encoding="utf-8")
    monkeypatch.setenv(own_tasks.ENVIRONMENT, "")
    monkeypatch.setattr(custom, "FACTS", {})
    monkeypatch.setattr(TASKS, "_items", dict(TASKS._items))
    return [repository / "config" / "reference.yaml", tmp_path / "my.yaml"]


@pytest.fixture
def config(example):
    config = load_config(example)
    own_tasks.announce(own_tasks.find(config, example))
    facts = build()["tasks"]
    assert [name for name in facts if "definition" in facts[name]] == NAMES
    return config


def test_the_class_of_the_example_is_short(example):
    code = (example[1].parent / "my_tasks.py").read_text(encoding="utf-8")
    body = code[code.index("class ") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 30


def test_the_example_runs_from_rows_to_guards_and_a_score(config):
    for name in NAMES:
        rows = TASKS.get(name).rows(1, 200, 512)
        assert rows.input_ids.shape == (200, 512)
        assert (np.asarray(TASKS.get(name).oracle(rows.input_ids)) == rows.targets[:, 0]).all()

    settings = {"rows": 200, "lengths": [512], "probe_rows": 400, "probe_lengths": [512], "seed": 1}
    guards = guard_table(config["task_tables"]["tasks"], settings)
    assert len(guards) == 10 and guards["within"].all(), guards
    speed = speed_table(NAMES, {"batch": 2, "length": 512, "readouts": 4, "repeats": 6, "seed": 1})
    assert (speed["tokens_per_second"] > 0).all()

    torch.manual_seed(0)
    shape = {"dim": 16, "depth": 1, "heads": 2, "chunk_len": 16, "episodic_slots": 4, "window": 8, "top_k": 4}
    model = SynapNetEdge(SynapNetEdgeConfig(**shape, max_entries=16, ff_hidden=32))
    suite = {**config["benchmark"]["suites"]["own"], "samples": 24, "test_seed": 5}
    owner = {"model_name": "tiny", "variant": "fp16", "backend": "torch", "seed": 1}
    found = run_suite(model, "own", suite, **owner, progress=False)
    table = found[0] if isinstance(found, tuple) else found
    assert table["task"].tolist() == NAMES and (table["suite"] == "own").all()
    assert table["score"].between(0, 0.3).all()  # it has learned nothing
    assert (table["guess"] > table["chance"]).all()


def test_the_command_line_knows_the_example(example, config, capsys):
    assert main(["tasks", "--markdown", str(example[1])]) == 0
    page = capsys.readouterr().out
    assert "### own/nth_mark" in page and "give the value of mark j" in page and "ruler/vt" not in page
    assert "**Best shortcut (computed):** The most frequent value of the six, 20 %." in page
    assert "`my_tasks.NthMark`" in page


def test_the_command_line_names_a_file_that_is_missing(example, capsys):
    (example[1].parent / "my_tasks.py").unlink()
    assert main(["tasks", str(example[1])]) == 1
    assert (
        "key tasks.0.module: found 'my_tasks:NthMark', expected a file my_tasks.py" in capsys.readouterr().err
    )
