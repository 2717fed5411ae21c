"""Links lead somewhere, the map from papers names what exists, the README shows what is published."""

from __future__ import annotations

import ast
import re

import pytest
import yaml

from synapnet_edge.artifacts import read_table
from synapnet_edge.reporting.readme import with_table

PAGES = ["README.md", "config/README.md", "docs/architecture.md", "docs/clusters.md", "docs/paper_to_code.md"]
PAGES += ["docs/reproducing.md", "docs/own_task.md", "docs/longbench.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_local_link_leads_to_a_file(repository, page):
    file = repository / page
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (file.parent / link).exists()]
    assert not broken


def test_the_map_from_papers_names_what_the_files_define(repository):
    docs = repository / "docs"
    found = 0
    for line in (docs / "paper_to_code.md").read_text(encoding="utf-8").splitlines():
        for link, names in re.findall(r"\]\((\.\./src/[^)]+\.py)\): ((?:`\w+`(?:, )?)+)", line):
            tree = ast.parse((docs / link).read_text(encoding="utf-8"))
            defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            targets = [n.target if isinstance(n, ast.AnnAssign) else None for n in tree.body]
            defined |= {target.id for target in targets if isinstance(target, ast.Name)}
            for name in re.findall(r"`(\w+)`", names):
                found += 1
                assert name in defined, f"{link} defines no {name}"
    assert found > 30


def test_the_readme_shows_the_published_table(repository):
    page = (repository / "README.md").read_text(encoding="utf-8")
    published = repository / "docs" / "results"
    head = read_table(published / "tables" / "headline.csv")
    assert with_table(page, head, published) == page, "run `make publish`, which writes the README's table"


def test_citation_names_version_licence_and_the_origin(repository):
    cff = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(cff)
    assert f'version = "{cff["version"]}"' in (repository / "pyproject.toml").read_text(encoding="utf-8")
    assert cff["license"] == "MIT" and "MIT License" in (repository / "LICENSE").read_text(encoding="utf-8")
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert cff["title"] in readme and cff["references"][0]["title"] in readme
