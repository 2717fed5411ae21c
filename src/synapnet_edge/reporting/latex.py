"""The tables of a Markdown page as LaTeX: one file per table, for `booktabs`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synapnet_edge.artifacts import write_text

# fmt: off
_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "±": r"$\pm$", "×": r"$\times$", "−": r"$-$", "≥": r"$\geq$", "≤": r"$\leq$",
    "✓": r"$\checkmark$", "✗": r"$\times$", "→": r"$\to$", "·": r"$\cdot$", "–": "--",
}
# fmt: on
_NUMBER = re.compile(r"[-+−]?[\d,.]+( ?[x%])?( ± [\d.]+)?|[–-]?")


class Table(NamedTuple):
    """One table of a page."""

    title: str  # of the headings above it, the last two
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(markdown: str) -> Iterator[Table]:
    """The tables of a page in their order."""
    above: dict[int, str] = {}
    block: list[str] = []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            block.append(line)
            continue
        if block:
            titles = [title for _, title in sorted(above.items())][-2:]
            yield Table(": ".join(titles), _cells(block[0]), [_cells(row) for row in block[2:]])
            block = []
        if heading := re.match(r"(#+) (.*)", line):
            level = len(heading[1])
            above = {key: title for key, title in above.items() if key < level} | {level: heading[2]}


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split(" | "))


def escape(words: str) -> str:
    """Plain words for LaTeX; **bold** and `code` keep their look."""
    pieces = re.split(r"(\*\*.+?\*\*|`[^`]+`)", words)
    done = []
    for piece in pieces:
        if piece.startswith("**") and piece.endswith("**") and len(piece) > 4:
            done.append(rf"\textbf{{{_plain(piece[2:-2])}}}")
        elif piece.startswith("`") and piece.endswith("`") and len(piece) > 2:
            done.append(rf"\texttt{{{_plain(piece[1:-1])}}}")
        else:
            done.append(_plain(piece))
    return "".join(done)


def _plain(words: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in words)


def tabular(table: Table, label: str) -> str:
    """One `table` environment; columns of numbers are set right, all others left."""
    columns = range(len(table.head))
    right = [all(_NUMBER.fullmatch(row[c]) for row in table.rows if c < len(row)) for c in columns]
    spec = "".join("r" if is_right else "l" for is_right in right)
    lines = [" & ".join(escape(cell) for cell in cells) + r" \\" for cells in table.rows]
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering\small",
            rf"\caption{{{escape(table.title)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            " & ".join(escape(cell) for cell in table.head) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def write_latex(markdown: str, folder: Path) -> list[str]:
    """Write every table of a page to its own file and `all.tex`, a document of all; returns the names."""
    names: list[str] = []
    for table in tables(markdown):
        name = _free(_slug(table.title), names)
        names.append(name)
        write_text(folder / f"{name}.tex", tabular(table, name))
    write_text(folder / "all.tex", _document(names))
    return names


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:70].strip("-") or "table"


def _free(name: str, taken: Sequence[str]) -> str:
    number = 2
    found = name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found


def _document(names: Sequence[str]) -> str:
    inputs = "\n".join(rf"\input{{{name}}}\clearpage" for name in names)
    return (
        "% pdflatex all.tex; or \\input single files where booktabs and amssymb are loaded\n"
        "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs,amssymb}\n"
        "\\usepackage[margin=1cm,landscape]{geometry}\n\\begin{document}\n" + inputs + "\n\\end{document}\n"
    )
