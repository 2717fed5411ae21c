"""The package's layers: imports run only downwards, and never in a circle within a layer."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = "synapnet_edge"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
LAYERS = [
    {
        "config",
        "registry",
        "artifacts",
        "headlines",
        "arms",
        "cells",
        "threads",
        "results_tree",
        "provenance",
        "own_tasks",
        "config_files",
        "config_names",
        "config_relations",
        "schema_check",
        "driver_lock",
        "bars",
        "policy_names",
        "kernel_cache",
        "simd",
        "simd_code",
        "simd_tiles",
    },
    {"models"},
    {"memory", "quantization", "tasks"},
    {"training", "evaluation", "experiments", "baselines", "runtime"},
    {"reporting", "plotting", "profiling"},
    {"catalogue", "commands", "__main__", "__init__"},  # the workflow's entry points and the public names
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}


def part_of(module: str) -> str:
    """First component below the package: the subpackage, or the module at the top."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(file: Path) -> set[str]:
    """Parts of the package that a file imports, at its top or inside functions."""
    found = set()
    here = [PACKAGE, *file.relative_to(SOURCE).with_suffix("").parts]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: -node.level]) if node.level else ""
            target = ".".join(filter(None, [base, node.module]))
            # `from synapnet_edge import tasks` imports a part, not the package's own names
            names = [f"{target}.{alias.name}" if target == PACKAGE else target for alias in node.names]
        else:
            continue
        found |= {part_of(name) for name in names if name.split(".")[0] == PACKAGE}
    return {name if name in LEVEL else "__init__" for name in found}


def edges() -> dict[str, set[str]]:
    """part -> parts it imports, other than itself."""
    graph: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        own = file.relative_to(SOURCE).parts[0].removesuffix(".py")
        graph.setdefault(own, set()).update(imports(file) - {own})
    return graph


def test_every_part_of_the_package_belongs_to_a_layer():
    files = {file.relative_to(SOURCE).parts[0].removesuffix(".py") for file in SOURCE.rglob("*.py")}
    assert files <= set(LEVEL), "name the layer of a new part here and in docs/architecture.md"


def test_imports_run_only_downwards():
    upward = [
        f"{own} (layer {LEVEL[own]}) imports {other} (layer {LEVEL[other]})"
        for own, others in edges().items()
        for other in others
        if LEVEL[other] > LEVEL[own]
    ]
    assert not upward


def test_parts_do_not_import_each_other_in_a_circle():
    TopologicalSorter(edges()).prepare()  # raises CycleError and names the circle


def test_parsing_finds_upward_imports(tmp_path, monkeypatch):
    """The check itself works: absolute, relative and in-function imports are all seen."""
    monkeypatch.setattr(f"{__name__}.SOURCE", tmp_path)
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "bad.py"
    file.write_text("from ..tasks import base\n\ndef f():\n    import synapnet_edge.plotting.style\n")
    assert imports(file) == {"tasks", "plotting"}
