"""Where own tasks may come from, and what changes their fingerprint."""

from __future__ import annotations

import os

import pytest

from synapnet_edge import own_tasks
from synapnet_edge.config_files import ConfigError, load_config, validate_config


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project folder with a module, and an empty working directory elsewhere."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "deep").mkdir(parents=True)
    elsewhere.mkdir()
    (project / "my_tasks.py").write_text("# a module\n")
    (project / "deep" / "more.py").write_text("# another\n")
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv(own_tasks.ENVIRONMENT, raising=False)
    return project


def find(folder, *entries):
    config = {"tasks": list(entries)}
    file = folder / "my.yaml"
    file.write_text(f"tasks: {list(entries)!r}\n".replace("'", '"'))
    return own_tasks.find(config, [file])


def test_a_module_is_taken_from_the_folder_of_its_configuration(folder):
    found = find(folder, {"module": "my_tasks:MyTask"}, {"module": "deep.more:Other", "arguments": {"n": 3}})
    assert [entry["file"] for entry in found] == [
        str(folder / "my_tasks.py"),
        str(folder / "deep" / "more.py"),
    ]
    assert [entry["class"] for entry in found] == ["MyTask", "Other"]
    assert found[1]["arguments"] == {"n": 3}
    assert found[0]["place"] == f"{folder / 'my.yaml'}: key tasks.0"


def test_a_module_is_taken_from_the_working_directory_but_not_from_the_search_path(folder, monkeypatch):
    with pytest.raises(ConfigError, match=r"my.yaml: key tasks.0.module: found 'json.decoder:JSONDecoder'"):
        find(folder, {"module": "json.decoder:JSONDecoder"})
    monkeypatch.chdir(folder)
    other = folder.parent / "elsewhere"
    assert find(other, {"module": "my_tasks:MyTask"})[0]["file"] == str(folder / "my_tasks.py")


@pytest.mark.parametrize(
    "reference",
    ["../project/my_tasks:A", "/tmp/x:A", "my_tasks", "my_tasks:A()", "my_tasks:a.b", "a;b:C", ":A"],
)
def test_only_a_module_and_a_class_can_be_named(folder, reference):
    with pytest.raises(ConfigError, match="expected module:Class"):
        find(folder, {"module": reference})


@pytest.mark.parametrize(
    "entry", ["my_tasks:MyTask", {}, {"module": "my_tasks:A", "record": {"name": "own/a"}}]
)
def test_an_entry_of_another_form_is_refused_without_the_schema(folder, entry):
    with pytest.raises(ConfigError, match=r"key tasks.0: found .*, expected either module or record"):
        find(folder, entry)


def test_a_link_out_of_the_folder_is_refused(folder):
    outside = folder.parent / "outside.py"
    outside.write_text("raise SystemExit\n")
    (folder / "linked.py").symlink_to(outside)
    with pytest.raises(ConfigError, match="not a link that leads out of it"):
        find(folder, {"module": "linked:A"})


def test_a_missing_file_says_where_it_was_looked_for(folder):
    with pytest.raises(ConfigError) as caught:
        find(folder, {"module": "my_task:MyTask"}, {"module": "no.such:Thing"})
    text = str(caught.value)
    assert text.count("\n") == 1 and "tasks.1.module" in text
    assert str(folder) in text and "elsewhere" in text and "my_task.py" in text


def test_the_definition_changes_with_the_file_and_the_entry_but_not_with_the_place(folder):
    entry = {"module": "my_tasks:MyTask"}
    first = find(folder, entry)[0]["definition"]
    assert find(folder, {**entry, "arguments": {"n": 1}})[0]["definition"] != first
    moved = folder.parent / "moved"
    folder.rename(moved)
    assert find(moved, entry)[0]["definition"] == first
    (moved / "my_tasks.py").write_text("# an edited module\n")
    assert find(moved, entry)[0]["definition"] != first
    record = {"record": {"name": "own/a", "records": 3}}
    other = {"record": {"name": "own/a", "records": 4}}
    assert find(moved, record)[0]["definition"] != find(moved, other)[0]["definition"]


def test_what_is_announced_reaches_the_environment_and_can_be_withdrawn(folder, monkeypatch):
    monkeypatch.setenv(own_tasks.ENVIRONMENT, "")
    assert own_tasks.announced() == [] and own_tasks.fingerprint() == ""
    found = find(folder, {"module": "my_tasks:MyTask"})
    own_tasks.announce(found)
    assert own_tasks.announced() == found and len(own_tasks.fingerprint()) == 12
    own_tasks.announce([])
    assert own_tasks.ENVIRONMENT not in os.environ


def test_the_package_looks_for_the_same_variable(repository):
    source = (repository / "src" / "synapnet_edge" / "tasks" / "__init__.py").read_text(encoding="utf-8")
    assert f'"{own_tasks.ENVIRONMENT}" in os.environ' in source


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, "either module (with arguments, if it takes some) or record"),
        ({"module": "a:B", "record": {"name": "own/a", "records": 3}}, "either module"),
        ({"record": {"name": "own/a", "records": 3}, "arguments": {}}, "either module"),
        ({"module": "import os"}, "text like"),
        ({"record": {"name": "own/a"}}, "a value: the key is required"),
        ({"record": {"name": "own/a", "records": 3, "key": 2}}, "did you mean keys?"),
        ({"modul": "a:B"}, "did you mean module?"),
    ],
)
def test_the_schema_refuses_other_entries(repository, tmp_path, entry, expected):
    files = [repository / "config" / "reference.yaml"]
    with pytest.raises(ConfigError) as caught:
        validate_config({**load_config(files), "tasks": [entry]}, files)
    assert "key tasks.0" in str(caught.value) and expected in str(caught.value)
