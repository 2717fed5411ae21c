"""No measured number is typed by hand: literals carry none, and a run without tables has none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from synapnet_edge import reporting
from synapnet_edge.reporting import forerunner, targets
from synapnet_edge.reporting.effective_length import THRESHOLD
from synapnet_edge.reporting.paired import LEVEL
from synapnet_edge.reporting.summary import write_summary

FOLDER = Path(reporting.__file__).parent
# Files of the summary. forerunner.py holds the published numbers, targets.py the goals: as data, on purpose.
FILES = sorted({*FOLDER.glob("*.py"), *(FOLDER / "sections").glob("*.py")} - {FOLDER / "forerunner.py"})
# Results look like 0.99, 12.3 %, 4x or 1,234; the following are names of methods and papers, not results.
RESULT = re.compile(r"(?<![\w./-])(\d+\.\d+|\d+(?:\.\d+)? ?%|\d+(?:\.\d+)?x|\d{1,3}(?:,\d{3})+)(?![\w/])")
CONVENTIONS = ("95 %", "100 %", "2404.06654")


def literals(file: Path) -> list[str]:
    """Texts of a file that can reach a page: no docstrings, no format codes."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and node.body
        if isinstance(node.body[0], ast.Expr)
    }
    codes = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue) and node.format_spec
        for part in ast.walk(node.format_spec)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | codes
    ]


def typed(text: str) -> list[str]:
    for words in CONVENTIONS:
        text = text.replace(words, "")
    return RESULT.findall(text)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_text_of_the_report_holds_a_number_that_looks_measured(file):
    assert [found for text in literals(file) for found in typed(text)] == []


def test_the_search_finds_typed_numbers(tmp_path):
    file = tmp_path / "bad.py"
    file.write_text(
        '"""0.5 is fine here."""\nx = 1\na = f"reaches 0.674 {x:.3f}"\nb = "4.4x", "71 %", "12,345"\n'
    )
    assert [found for text in literals(file) for found in typed(text)] == ["0.674", "4.4x", "71 %", "12,345"]


def test_a_run_without_tables_has_no_numbers_but_goals_and_published_ones(tmp_path):
    write_summary({}, {}, tmp_path / "s.md", tmp_path)
    text = (tmp_path / "s.md").read_text(encoding="utf-8")
    allowed = " ".join(
        [
            *(f"{claim.quantity} {claim.published}" for claim in forerunner.CLAIMS.values()),
            *(target.words for target in targets.TARGETS),
            forerunner.CAVEAT,
            f"{THRESHOLD} {LEVEL}",  # RULER's threshold, by its paper, and the level of the tests
        ]
    )
    known = set(RESULT.findall(allowed))
    for line in text.splitlines():
        if line.startswith("| ") and "**not measured**" in line:
            line = "|".join(line.split("|")[2:])  # the goal itself states what is asked
        extra = [found for found in typed(line) if found not in known]
        assert not extra, line


def test_every_published_row_says_not_measured_without_tables(tmp_path):
    write_summary({}, {}, tmp_path / "s.md", tmp_path)
    text = (tmp_path / "s.md").read_text(encoding="utf-8")
    table = text.split("### Published claims beside this run")[1].split("\n### ")[0]
    assert table.count("not measured in this run") == len(forerunner.CLAIMS)
