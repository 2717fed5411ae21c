"""Folders, archives, rows, and what is said when data are missing."""

from __future__ import annotations

import json
import os
import stat
import sys
import types
import zipfile

import pytest

from synapnet_edge.evaluation.longbench import hub
from synapnet_edge.evaluation.longbench.schema import SchemaError, read_rows
from synapnet_edge.evaluation.longbench.source import MissingData, UnsafeArchive, open_source
from synapnet_edge.evaluation.longbench.tasks import LONGBENCH_TASKS

COMMIT = "0123456789abcdef" * 2 + "01234567"


def read(source, name, classes=False):
    return list(read_rows(source.lines(name), name.removesuffix("_e"), classes))


@pytest.mark.parametrize("name", ["qasper", "trec", "triviaqa", "lcc", "dureader", "qasper_e", "lcc_e"])
def test_folder_and_archive_give_the_same_rows(folder, archive, cases, name):
    found = read(open_source(folder), name)
    assert found == read(open_source(archive), name) == read(open_source(folder / "data"), name)
    assert [item.context for item in found] == [item["context"] for item in cases[name]]
    assert [item.id for item in found] == [item["_id"] for item in cases[name]]
    assert all(isinstance(item.length, int) and isinstance(item.answers, tuple) for item in found)


def test_folder_that_holds_only_the_archive_is_enough(archive):
    assert open_source(archive.parent).members == open_source(archive).members


def test_class_lists_and_nulls_keep_their_kind(folder):
    source = open_source(folder)
    assert read(source, "trec", classes=True)[0].all_classes == ("City", "Date", "City size")
    assert read(source, "qasper")[0].all_classes is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"answers": ...}, "found no answers, expected exactly input, context"),
        ({"extra": 1}, "found unknown extra, expected exactly"),
        ({"answer_prefix": "Answer:"}, "looks like the mirror Xnhyacinth/LongBench"),
        ({"answers": []}, "field answers: found an empty list, expected a list of at least one"),
        ({"answers": "Ann"}, "field answers: found text"),
        ({"answers": ["Ann", None]}, "field answers: found a list of null and text"),
        ({"length": True}, "field length: found true/false, expected a whole number"),
        ({"length": "9"}, "field length: found text"),
        ({"length": -1}, "field length: found -1"),
        ({"input": None}, "field input: found null, expected text"),
        ({"all_classes": [1]}, "field all_classes: found a list of 1"),
        ({"dataset": "hotpotqa"}, "field dataset: found 'hotpotqa', expected 'qasper'"),
        ("[1, 2]", "found a list of 1 and 2, expected an object"),
        ('{"input": "cut', "not a line of JSON"),
        ("[" * 100_000, "not a line of JSON"),
        ('{"input": "a", "input": "b"}', "a field is given twice"),
    ],
)
def test_malformed_row_is_named_by_file_line_and_field(tmp_path, row, write_lines, line, expected):
    if isinstance(line, dict):  # changed fields; ... takes one away
        fields = row("qasper") | line
        line = {name: value for name, value in fields.items() if value is not ...}
    path = write_lines(tmp_path / "qasper.jsonl", [row("qasper"), line])
    with pytest.raises(SchemaError) as caught:
        read(open_source(tmp_path), "qasper")
    assert f"{path}:2: " in str(caught.value) and expected in str(caught.value)


def test_text_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "qasper.jsonl").write_bytes(b'{"input": "\xff"}\n')
    with pytest.raises(SchemaError, match=r"qasper\.jsonl:1: not UTF-8"):
        read(open_source(tmp_path), "qasper")


def test_classification_needs_class_names(tmp_path, row, write_lines):
    write_lines(tmp_path / "trec.jsonl", [row("trec")])
    with pytest.raises(SchemaError, match="field all_classes: found none"):
        read(open_source(tmp_path), "trec", classes=True)


@pytest.mark.parametrize(
    "name", ["../qasper.jsonl", "/data/qasper.jsonl", "data/../../x.jsonl", "C:/x.jsonl", "data\\x.jsonl"]
)
def test_archive_with_a_path_out_of_it_is_refused(tmp_path, row, name):
    path = tmp_path / "data.zip"
    member = zipfile.ZipInfo("placeholder")
    member.filename = name  # the constructor would mend it
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data/trec.jsonl", json.dumps(row("trec")))
        file.writestr(member, "{}")
    with pytest.raises(UnsafeArchive, match=r"member .* expected a plain relative path; nothing was read"):
        open_source(path)


def test_archive_with_a_link_an_oversized_or_a_repeated_member_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "data.zip"
    link = zipfile.ZipInfo("data/qasper.jsonl")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(link, "/etc/hostname")
    with pytest.raises(UnsafeArchive, match="symbolic link"):
        open_source(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data/qasper.jsonl", "{}")
        file.writestr("qasper.jsonl", "{}")
    with pytest.raises(UnsafeArchive, match=r"found qasper\.jsonl twice"):
        open_source(path)
    monkeypatch.setattr("synapnet_edge.evaluation.longbench.source.MAX_MEMBER_BYTES", 1)
    with pytest.raises(UnsafeArchive, match="found 2 bytes unpacked, expected at most 1"):
        open_source(path)


def test_endless_line_is_refused(tmp_path, row, write_lines, monkeypatch):
    monkeypatch.setattr("synapnet_edge.evaluation.longbench.source.MAX_LINE_BYTES", 50)
    write_lines(tmp_path / "qasper.jsonl", [row("qasper")])
    with pytest.raises(UnsafeArchive, match=r"qasper\.jsonl:1: found a line of more than 50 bytes"):
        read(open_source(tmp_path), "qasper")


def test_missing_data_say_what_was_looked_for_and_how_to_get_it(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    for place, expected in (
        (None, "no data are configured (data_dir is null)"),
        (tmp_path / "absent", f"{tmp_path / 'absent'}: found no such folder or file"),
        (tmp_path / "empty", "found neither *.jsonl, data/*.jsonl nor data.zip"),
        (tmp_path / "text.zip", "found a file that is no zip archive"),
    ):
        with pytest.raises(MissingData) as caught:
            open_source(place)
        text = str(caught.value)
        assert expected in text and "hf download zai-org/LongBench data.zip --repo-type dataset" in text
        assert "data_dir: longbench/data.zip" in text
    with pytest.raises(MissingData, match=r"found no musique\.jsonl; there are: dureader, lcc"):
        read(open_source(folder), "musique")


def test_download_needs_a_commit():
    with pytest.raises(ValueError, match="found 'main', expected a commit"):
        hub.download("main")


def test_without_the_package_the_download_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingData, match=r"huggingface_hub cannot be imported .*: pip install"):
        hub.download(COMMIT)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"needs datasets 4 or later.* pip install"):
        hub.as_dataset([])


def fake_hub(monkeypatch, download):
    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_downloaded_archive_is_read_like_any_other(monkeypatch, archive):
    asked = []
    fake_hub(monkeypatch, lambda *names, **options: asked.append((names, options)) or str(archive))
    assert len(read(open_source(hub.download(COMMIT)), "qasper")) == 2
    assert asked == [(("zai-org/LongBench", "data.zip"), {"repo_type": "dataset", "revision": COMMIT})]


def test_offline_download_says_what_is_missing(monkeypatch):
    def offline(*names, **options):
        raise ConnectionError("offline mode is enabled")

    fake_hub(monkeypatch, offline)
    with pytest.raises(MissingData) as caught:
        hub.download(COMMIT)
    text = str(caught.value)
    assert f"data.zip of zai-org/LongBench at {COMMIT} is neither cached nor reachable" in text
    assert "offline mode is enabled" in text and "hf download" in text


def test_installed_hub_is_offline_too(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingData, match="neither cached nor reachable"):
        hub.download(COMMIT)


def test_rows_become_a_dataset_with_the_published_types(folder):
    pytest.importorskip("datasets")
    source = open_source(folder)
    tables = [hub.as_dataset(read(source, name)) for name in ("qasper", "trec")]
    assert tables[0].features == tables[1].features  # although one has nulls where the other has lists
    assert list(tables[0]["all_classes"]) == [None, None] and tables[1][0]["_id"] == "trec-0"
    assert tables[0].features["length"].dtype == "int32"


@pytest.mark.network
@pytest.mark.skipif("LONGBENCH_REVISION" not in os.environ, reason="needs LONGBENCH_REVISION=<commit>")
def test_published_archive_holds_every_task():
    source = open_source(hub.download(os.environ["LONGBENCH_REVISION"]))
    for name in LONGBENCH_TASKS:
        task = LONGBENCH_TASKS.get(name)
        for file in [name, f"{name}_e"] if task.extended else [name]:
            assert len(read(source, file, task.classes)) >= 150
