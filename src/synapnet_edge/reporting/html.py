"""A Markdown page of this project as one HTML file that fetches nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 75rem; margin: 2rem auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; display: block; overflow-x: auto; }
th, td { padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
thead th { border-top: 2px solid #222; border-bottom: 1px solid #222; }
code { background: #f3f3f3; padding: 0 0.2rem; }
nav { columns: 2; font-size: 13px; }
nav a { text-decoration: none; }
"""


def page(markdown: str, title: str) -> str:
    """The page with a list of its headings at the top."""
    body, contents = [], []
    for kind, words in _blocks(markdown):
        if kind != "block":
            level, anchor = int(kind[1]), f"s{len(contents)}"
            if level > 1:
                contents.append(f'<a href="#{anchor}">{"&ensp;" * 2 * (level - 2)}{inline(words)}</a><br>')
            body.append(f'<{kind} id="{anchor if level > 1 else "top"}">{inline(words)}</{kind}>')
        else:
            body.append(words)
    if body and contents:
        body.insert(1, f"<nav>{''.join(contents)}</nav>")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"
    )


def inline(words: str) -> str:
    """Escaped words with `code` and **bold**."""
    escaped = html.escape(words, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped)


def _blocks(markdown: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of every block: h1..h6 with its plain words, "block" with finished HTML."""
    for block in re.split(r"\n\s*\n", markdown.strip()):
        lines = block.splitlines()
        while lines and (heading := re.match(r"(#{1,6}) (.*)", lines[0])):
            yield f"h{len(heading[1])}", heading[2]
            lines = lines[1:]
        if not lines:
            continue
        if lines[0].startswith("|"):
            yield "block", _table(lines)
        elif lines[0].startswith("- "):
            yield "block", "<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in lines) + "</ul>"
        else:
            yield "block", f"<p>{inline(' '.join(lines))}</p>"


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
    head = "".join(f"<th>{inline(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{inline(cell)}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
