"""Own tasks and the tables of all tasks in the real workflow."""

from __future__ import annotations

import re
import shutil

import pytest

from synapnet_edge.artifacts import read_table

pytestmark = pytest.mark.slow

TARGET = "results/task_tables/guards.csv"


@pytest.fixture(scope="module")
def project(repository, tmp_path_factory):
    """The files of docs/own_task.md in a folder of their own."""
    folder = tmp_path_factory.mktemp("project")
    page = (repository / "docs" / "own_task.md").read_text(encoding="utf-8")
    for language, name in (("python", "my_tasks.py"), ("yaml", "my.yaml")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
        (folder / name).write_text(block, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def measured(fresh, project):
    """The guards of the example's two tasks, measured by the workflow."""
    done = fresh.call(TARGET, "--cores", "1", configs=[project / "my.yaml"])
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    yield fresh
    shutil.rmtree(fresh.directory / "results")


def test_own_tasks_are_measured_by_the_workflow(measured):
    table = read_table(measured.directory / TARGET)
    assert list(dict.fromkeys(table["task"])) == ["own/nth_mark", "own/phone_book"]
    assert table["within"].all()


def test_an_edit_of_the_users_file_measures_its_tasks_again(measured, project):
    configs, file = [project / "my.yaml"], project / "my_tasks.py"
    assert measured.rules(TARGET, configs=configs) == set()
    before = file.read_text(encoding="utf-8")
    try:
        file.write_text(before + "\n# an edit\n", encoding="utf-8")
        assert measured.rules(TARGET, configs=configs) == {"task_guards"}
        file.write_text(before.replace("class NthMark", "class NthMarks"), encoding="utf-8")
        done = measured.call(TARGET, "--dry-run", configs=configs)
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert "Nothing was started." in said and "did you mean NthMarks?" in said
        assert "Traceback" not in said
    finally:
        file.write_text(before, encoding="utf-8")


def test_a_suite_of_own_tasks_is_scored_like_any_other(fresh, project):
    jobs = fresh.planned(configs=[project / "my.yaml"])
    assert "own" in {wildcards["suite"] for rule, wildcards in jobs if rule == "benchmark"}
    assert {"pretrain", "quantize", "report"} <= {rule for rule, _ in jobs}


def test_both_tables_are_one_target_that_needs_no_model(fresh):
    assert fresh.rules("task_tables") == {"task_speed", "task_guards", "task_tables"}
