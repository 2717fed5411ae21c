"""The record of a run and the copy of a finished one."""

from __future__ import annotations

import json
import subprocess

import pytest

from synapnet_edge.__main__ import main
from synapnet_edge.reporting.record import NotFinished, commit, publish, run_record

MACHINE = {"processor": "P", "usable_cores": 2}
JOBS = [
    {"stage": stage, "wall_seconds": wall, "cpu_seconds": wall / 2, "config_hash": name, "machine": MACHINE}
    | {"packages": {"torch": "2"}}
    for stage, name, wall in (("pretrain", "a", 60.0), ("pretrain", "b", 120.0), ("deploy", "c", 30.0))
]


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for name, text in {
        "summary.md": "# s\n",
        "tables/sizes.csv": "a\n1\n",
        "tables/latex/x.tex": "x",
        "figures/one.png": "png",
        "figures/one.pdf": "pdf",
        "pretrain/reference/seed42/model.safetensors.manifest.json": "{}",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    record = run_record({"seeds": [42], "run": {"figures": ["one"]}}, JOBS)
    (folder / "manifest.json").write_text(json.dumps(record))
    return folder


def test_the_record_adds_up_jobs_and_keeps_what_made_them():
    record = run_record({"seeds": [42]}, JOBS)
    assert record["stages"]["pretrain"] == {"jobs": 2, "wall_minutes": 3.0, "core_minutes": 1.5}
    assert record["wall_minutes_of_all_jobs"] == 3.5 and record["core_minutes"] == 1.75
    assert record["machines"] == [MACHINE] and record["packages"] == [{"torch": "2"}]
    assert record["config_hash"] != run_record({"seeds": [43]}, JOBS)["config_hash"]


def test_the_commit_says_when_files_differ_from_it(tmp_path):
    assert commit(tmp_path / "no") == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    (tmp_path / "f").write_text("1")
    for words in (["init", "-q"], ["add", "f"], ["commit", "-qm", "m"]):
        subprocess.run([*git, *words], check=True)
    clean = commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "f").write_text("2")
    assert commit(tmp_path) == f"{clean}-modified"


def test_publish_copies_what_readers_need_and_replaces_the_old(results, tmp_path, capsys):
    target = tmp_path / "docs" / "results"
    (target / "figures").mkdir(parents=True)
    (target / "figures" / "old.png").write_text("old")
    assert main(["publish", "--results", str(results), "--to", str(target)]) == 0
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    expected = {
        "summary.md",
        "tables/sizes.csv",
        "figures/one.png",
        "manifests/pretrain-reference-seed42.json",
    }
    assert files == expected | {"manifest.json"}
    manifest = json.loads((target / "manifest.json").read_text())
    assert set(manifest["files"]) == expected and manifest["core_minutes"] == 1.75
    assert "5 files" in capsys.readouterr().out


@pytest.mark.parametrize("lost", ["summary.md", "manifest.json", "figures/one.png"])
def test_an_unfinished_run_is_not_published_and_nothing_is_touched(results, tmp_path, lost, capsys):
    (results / lost).unlink()
    (tmp_path / "old.md").write_text("kept")
    with pytest.raises(NotFinished, match="finish the run first"):
        publish(results, tmp_path)
    assert (tmp_path / "old.md").read_text() == "kept"
    assert main(["publish", "--results", str(results), "--to", str(tmp_path / "new")]) == 1
    assert "finish the run first" in capsys.readouterr().err
