"""The target `longbench_real_all`: one message without data, tables with them, nothing in the default run."""

from __future__ import annotations

import json

import pytest
import yaml

from synapnet_edge.artifacts import read_table
from synapnet_edge.config_files import load_config

pytestmark = pytest.mark.slow


def made(folder, **changes):
    """A folder with two rows of one task."""
    fields = {
        "input": "Who?",
        "context": "Ann. Bob.",
        "answers": ["Ann"],
        "length": 5000,
        "dataset": "qasper",
    }
    fields |= {"language": "en", "all_classes": None, "_id": "1"} | changes
    folder.mkdir(exist_ok=True)
    (folder / "qasper_e.jsonl").write_text(f"{json.dumps(fields)}\n" * 2)
    return folder


def overlay(folder, **changes):
    path = folder / "my.yaml"
    path.write_text(yaml.safe_dump({"longbench_real": {"extended": True, **changes}}))
    return [path]


def test_without_data_the_target_says_how_to_get_them(fresh):
    done = fresh.call("longbench_real_all", "--cores", "1")
    text = done.stdout + done.stderr
    assert done.returncode != 0 and not (fresh.directory / "results").exists()
    assert "Nothing was started: key longbench_real.data_dir" in text
    assert text.count("hf download zai-org/LongBench data.zip") == 1


def test_tables_of_both_baselines_and_what_runs_them_again(fresh, tmp_path):
    configs = overlay(tmp_path, data_dir=str(made(tmp_path / "data")))
    done = fresh.call("longbench_real_all", "--cores", "1", configs=configs)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = fresh.directory / "results" / "longbench_real"
    scores = read_table(folder / "frequent_or_first.csv")
    cell = scores[(scores["task"] == "qasper") & (scores["bucket"] == "4-8k")].iloc[0]
    assert (cell["n"], cell["score"], cell["system"]) == (2, 1.0, "baseline:frequent_or_first")
    assert len(read_table(folder / "empty.rows.csv")) == 2
    assert "total" in set(read_table(folder / "empty.categories.csv")["category"])
    manifest = json.loads((folder / "empty.csv.manifest.json").read_text())
    assert manifest["config"]["data_dir"] == str(tmp_path / "data") and manifest["stage"] == "longbench_real"
    assert fresh.planned("longbench_real_all", configs=configs) == []
    with fresh.edited("src/synapnet_edge/evaluation/longbench/tasks.json", " "):  # prompts are data
        assert fresh.rules("longbench_real_all", configs=configs) == {"longbench_real"}


def test_configuration_knows_the_tasks_and_baselines(repository):
    from synapnet_edge.evaluation.longbench import BASELINES, LONGBENCH_TASKS

    schema = yaml.safe_load((repository / "config" / "schema.yaml").read_text())
    block = schema["properties"]["longbench_real"]["properties"]
    assert block["tasks"]["items"]["enum"] == list(LONGBENCH_TASKS)
    assert block["baselines"]["items"]["enum"] == list(BASELINES)
    config = load_config([repository / "config" / "reference.yaml"])["longbench_real"]
    assert config["data_dir"] is None and config["baselines"] == list(BASELINES)
