"""Markdown tables become LaTeX tables with the same cells."""

from __future__ import annotations

import re

from synapnet_edge.reporting.latex import escape, tables, tabular, write_latex

PAGE = """# Page
## Part
### One
| task | mean ± std | note |
| --- | --- | --- |
| ruler/niah_1 | 0.990 ± 0.010 | **met**, 5 % & more |
| x | – | `code_a` |

### Two
words
| a |
| --- |
| 1 |

| a |
| --- |
| 2 |
"""


def test_titles_heads_and_rows_are_found():
    found = list(tables(PAGE))
    assert [table.title for table in found] == ["Part: One", "Part: Two", "Part: Two"]
    assert found[0].head == ("task", "mean ± std", "note")
    assert found[0].rows[1] == ("x", "–", "`code_a`")
    assert found[2].rows == [("2",)]


def test_special_letters_are_escaped_and_marks_kept():
    assert escape("5 % & a_b") == r"5 \% \& a\_b"
    assert escape("**met** `a_b` ±") == r"\textbf{met} \texttt{a\_b} $\pm$"
    assert escape("\\{}~^<") == r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}\textless{}"


def test_a_table_is_booktabs_with_numbers_to_the_right():
    text = tabular(next(tables(PAGE)), "one")
    assert r"\begin{tabular}{lrl}" in text and r"\label{tab:one}" in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 1
    rows = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(rows) == 2 and all(row.endswith(r" \\") for row in rows)
    assert all(len(re.findall(r"(?<!\\)&", row)) == 2 for row in rows)


def test_every_table_has_a_file_of_its_own_and_a_place_in_the_document(tmp_path):
    names = write_latex(PAGE, tmp_path)
    assert names == ["part-one", "part-two", "part-two-2"]
    document = (tmp_path / "all.tex").read_text(encoding="utf-8")
    for name in names:
        assert rf"\input{{{name}}}" in document and (tmp_path / f"{name}.tex").is_file()
    assert document.count("{") == document.count("}")
