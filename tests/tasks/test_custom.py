"""Own tasks: what is registered, and what is refused with which words."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from synapnet_edge import own_tasks
from synapnet_edge.config_files import ConfigError
from synapnet_edge.evaluation import guards
from synapnet_edge.registry import Registry
from synapnet_edge.tasks import TASKS, custom
from synapnet_edge.tasks.record_task import DescribedRecords

GOOD = """
    from synapnet_edge.tasks import Task
    from synapnet_edge.tasks.ruler import NiahMultikey1

    class Mine(NiahMultikey1):
        suite = "own"

        def __init__(self, pairs=4, name="own/mine"):
            super().__init__(pairs)
            self.name = name
"""


@pytest.fixture
def registry(monkeypatch):
    """A registry of the package's tasks to which nothing else was added."""
    monkeypatch.setattr(custom, "FACTS", {})
    fresh = Registry("task")
    for name in TASKS:
        fresh.add(name, TASKS.get(name))
    return fresh


@pytest.fixture
def add(tmp_path, registry):
    """Write my_tasks.py and register entries; returns the registry."""

    def register(code, *entries):
        (tmp_path / "my_tasks.py").write_text(textwrap.dedent(code))
        file = tmp_path / "my.yaml"
        file.write_text("tasks: []\n")
        for entry in own_tasks.find({"tasks": list(entries)}, [file]):
            custom.register(entry, registry)
        return registry

    return register


def test_a_class_of_a_file_becomes_a_task_with_its_arguments(add):
    mine = {"module": "my_tasks:Mine"}
    registry = add(GOOD, mine, {**mine, "arguments": {"pairs": 9, "name": "own/nine"}})
    assert registry.get("own/mine").pairs == 4 and registry.get("own/nine").pairs == 9
    assert (registry.get("own/nine").rows(1, 3, 128).targets >= 0).all()
    facts = custom.FACTS["own/mine"]
    assert facts["module"] == "my_tasks" and len(facts["definition"]) == 12
    assert {"tasks.base", "tasks.ruler.niah_multikey"} <= set(facts["uses"])


def test_registering_again_changes_nothing(add):
    add(GOOD, {"module": "my_tasks:Mine"})
    assert "own/mine" in add(GOOD, {"module": "my_tasks:Mine"})


def test_a_module_does_not_replace_an_installed_one(add, tmp_path):
    import random

    (tmp_path / "random.py").write_text(textwrap.dedent(GOOD))
    registry = add("", {"module": "random:Mine"})
    assert "own/mine" in registry
    import random as again

    assert again is random and hasattr(again, "Random")


@pytest.mark.parametrize(
    ("code", "entry", "words"),
    [
        (GOOD, {"module": "my_tasks:Mien"}, ["Mien: found no such class", "did you mean Mine?"]),
        ("from math import pi as Mine", {}, ["Mine: found something else than a task", "none in this file"]),
        ("import nonsense_package", {}, ["ModuleNotFoundError", "one file"]),
        ("def (", {}, ["SyntaxError", "my_tasks.py"]),
        (GOOD, {"arguments": {"pears": 3}}, ["Mine cannot be made", "pears"]),
        (GOOD, {"arguments": {"pairs": 1}}, ["pairs: expected at least 2, got 1"]),
        (GOOD, {"arguments": {"name": "Mine"}}, ["Mine.name: found 'Mine', expected suite/task"]),
        (GOOD, {"arguments": {"name": "ruler/vt"}}, ["a name that no other task has"]),
        (GOOD.replace('"own"', '"ruler"'), {}, ["Mine.suite: found 'ruler', expected a suite of your own"]),
        (GOOD.replace("self.name = name", "self.name = name; self.version = 0"), {}, ["version: found 0"]),
        (
            GOOD.replace("self.name = name", "self.name = name; self.num_classes = 65"),
            {},
            ["num_classes: found 65, expected a whole number from 1 to 64"],
        ),
        (
            "from synapnet_edge.tasks import Task\nclass Mine(Task):\n    name = suite = 'own'",
            {},
            ["Mine cannot be made", "abstract", "oracle"],
        ),
    ],
)
def test_what_is_wrong_with_a_task_is_said(add, code, entry, words):
    with pytest.raises(ConfigError) as caught:
        add(code, {"module": "my_tasks:Mine", **entry})
    for word in ["tasks.0", *words]:
        assert word in str(caught.value)


def test_a_record_task_is_solvable_and_honest(add):
    registry = add("", {"record": {"name": "own/book", "records": 5, "keys": 2, "values": 3, "version": 2}})
    task = registry.get("own/book")
    assert (task.suite, task.version, task.min_length) == ("own", 2, 1 + 5 * 5 + 8)
    rows = task.rows(3, 400, 128)
    assert (task.oracle(rows.input_ids) == rows.targets[:, 0]).all()
    assert (
        guards.balance_p_value(task.training_batch(np.random.default_rng(0), 2000, 64, 1).targets[:, 0])
        > 1e-3
    )
    # The most frequent value of the right record, its place ignored.
    starts, which = rows.meta["target_needle"][:, 0], np.arange(400)
    label = rows.targets[:, 0]
    values = rows.input_ids[which[:, None], starts[:, None] + 2 + np.arange(3)] - 5
    hit = np.mean([np.bincount(v, minlength=64).argmax() == t for v, t in zip(values, label, strict=True)])
    assert hit == pytest.approx(task.guess(128), abs=4 * guards.standard_error(task.guess(128), 400))
    assert custom.FACTS["own/book"]["uses"] == ["tasks.record_task"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"records": 1}, "records: found 1, expected a whole number from 2 to 256"),
        ({"keys": 5}, "keys: found 5"),
        ({"values": 17}, "values: found 17, expected a whole number from 1 to 16"),
        ({"name": "book"}, "name: found 'book', expected suite/task"),
        ({"name": "ruler/book"}, "suite of your own"),
        ({"pages": 3}, "pages"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(add, change, words):
    with pytest.raises(ConfigError, match="tasks.0") as caught:
        add("", {"record": {"name": "own/book", "records": 5, **change}})
    assert words in str(caught.value)


def test_the_longest_question_fits_in_the_tail():
    task = DescribedRecords("own/wide", 2, 4, 16)
    rows = task.rows(1, 50, task.min_length)
    assert (task.oracle(rows.input_ids) == rows.targets[:, 0]).all()
    assert (rows.meta["needle_pos"].max(1) + 20 <= task.min_length - 8).all()
