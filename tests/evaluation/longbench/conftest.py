"""Made files of the published schema, and no network."""

from __future__ import annotations

import json
import socket
import zipfile
from pathlib import Path

import pytest


def made_row(task: str, number: int = 0, **changes) -> dict:
    """One row of the published schema."""
    fields = {
        "input": "Who wrote it?",
        "context": f"Text {number}. Ann wrote it. {{context}} and {{braces}} stay.",
        "answers": ["Ann"],
        "length": 100,
        "dataset": task,
        "language": "en",
        "all_classes": None,
        "_id": f"{task}-{number}",
    }
    return fields | changes


def write(path: Path, rows: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# Null classes, a class list, several answers, non-ASCII text with a Unicode line separator, an empty input.
CASES = {
    "qasper": [made_row("qasper", 0), made_row("qasper", 1, answers=["Bob", "Ann", "the Ann"])],
    "trec": [
        made_row("trec", 0, answers=["City"], all_classes=["City", "Date", "City size"]),
        made_row("trec", 1, answers=["City"], all_classes=["City", "Date", "City size"]),
        made_row("trec", 2, answers=["Date"], all_classes=["City", "Date", "City size"]),
    ],
    "triviaqa": [made_row("triviaqa", 0, context="Größe\u2028naïve 文字. Next.", answers=["Größe naïve"])],
    "lcc": [
        made_row("lcc", 0, input="", context="x = 1\ny = 2\n", answers=["z = 3"], language="python"),
        made_row("lcc", 1, input="", context="a = 1\n", answers=["a = 1"], language="python"),
    ],
    "dureader": [made_row("dureader", 0, language="zh", context="文字。", answers=["文字"])],
    "qasper_e": [
        made_row("qasper_e", n, length=length) for n, length in enumerate([3999, 4000, 7999, 8000, 9000])
    ],
    "lcc_e": [made_row("lcc", 0, input="", answers=["z = 3"], length=10)],
}


@pytest.fixture(scope="session")
def row():
    """Makes one row: row(task, number, **changed fields)."""
    return made_row


@pytest.fixture(scope="session")
def write_lines():
    """Writes rows (or lines of text) as one file: write_lines(path, rows) -> path."""
    return write


@pytest.fixture(scope="session")
def cases():
    """Name of a file -> its rows."""
    return CASES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the archive unpacks: data/<task>.jsonl."""
    for name, rows in CASES.items():
        write(tmp_path / "made" / "data" / f"{name}.jsonl", rows)
    return tmp_path / "made"


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> Path:
    """The same files as data.zip."""
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member in sorted(folder.rglob("*.jsonl")):
            file.write(member, f"data/{member.name}")
    return path


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection fails, and the Hub's libraries know that they are offline."""
    if request.node.get_closest_marker("network"):
        return

    def refuse(*arguments, **options):
        raise AssertionError("a test opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
