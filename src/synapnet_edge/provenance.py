"""Which source files a stage runs, so that editing one of them re-runs that stage and nothing else.

The files follow from the import statements, read without importing: there is no list to keep up to date.
``from package import name`` leads to the module that defines ``name``, not to everything the package
offers; what a stage picks by name from a registry (its tasks, its policy, its figure) is passed as a plugin.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from synapnet_edge.artifacts import code_fingerprint

PACKAGE = "synapnet_edge"
ROOT = Path(__file__).parent

# Where each stage enters the library: dotted modules, or subpackages that are used as a whole.
STAGE_ENTRIES: dict[str, tuple[str, ...]] = {
    "pretrain": ("training.loop",),
    "calibrate": ("training.calibration",),
    "sensitivity": ("training.sensitivity",),
    "quantize": ("training.quantize",),
    "benchmark": ("evaluation.runner", "quantization.checkpoint", "training.objective"),
    "qat_share": ("experiments.qat_share", "training.objective"),
    "peers": ("experiments.peers",),
    "backends": ("evaluation.backends", "runtime"),
    "equal_bytes": ("evaluation.equal_bytes", "results_tree"),
    "paired": ("evaluation.paired", "results_tree"),
    "retention": ("training.retention", "quantization.checkpoint", "training.objective"),
    "retention_stability": ("training.retention", "quantization.checkpoint", "training.objective"),
    "locret": ("training.locret", "quantization.checkpoint", "training.objective"),
    "eviction_paired": ("evaluation.eviction_paired",),
    "eviction_cost": ("profiling.eviction_cost", "quantization.checkpoint", "memory.retention"),
    "eviction_grid": (
        *("evaluation.eviction", "quantization.checkpoint", "memory.retention"),
        "training.objective",
    ),
    "deploy": ("profiling",),
    "deploy_report": ("reporting.deploy",),
    "experiment_train": ("training.loop",),
    "experiment": ("experiments.scoring", "training.objective"),
    "experiment_report": ("reporting.ablation",),
    "stream": (
        *("evaluation.stream", "quantization.checkpoint", "memory.retention"),
        "training.objective",
    ),
    "stream_report": ("reporting.stream",),
    "baseline_sweep": ("baselines.sweep",),
    "baseline_train": ("baselines.sweep", "baselines.train"),
    "baseline_quantize": ("baselines.quantize",),
    "baseline_benchmark": ("evaluation.runner", "baselines.files", "training.objective"),
    "baseline_kv": ("baselines.kv.grid", "baselines.files", "training.objective"),
    "baseline_cost": ("profiling.contenders",),
    "baseline_report": ("reporting.baselines",),
    "longbench_real": ("evaluation.longbench",),
    "task_speed": ("evaluation.task_speed",),
    "task_guards": ("evaluation.task_guards",),
    "task_tables": ("reporting.task_tables",),
    "summary": ("reporting.summary", "reporting.record"),
}

# These only list what a registry holds. A stage names the entries it picks, so a new entry changes no other.
# `headlines` and `bars` word lines for the terminal and touch no result.
LISTINGS = frozenset(
    {
        *("headlines", "bars", "tasks.catalog", "memory.policies.__init__"),
        *("baselines.__init__", "baselines.kv.__init__"),
    }
)


def stage_code(stage: str, *plugins: str) -> str:
    """Return the fingerprint (12 hexadecimal digits) of all code that `stage` runs.

    Parameters
    ----------
    stage : str
        A key of ``STAGE_ENTRIES``.
    *plugins : str
        Modules chosen by name through a registry, as full or package-relative dotted names.
    """
    entries = STAGE_ENTRIES[stage] + tuple(plugin.removeprefix(f"{PACKAGE}.") for plugin in plugins)
    return code_fingerprint(*import_closure(*entries))


def import_closure(*entries: str) -> list[str]:
    """Return the package-relative module names that `entries` are or import, directly or not."""
    pending = [module for entry in entries for module in _modules_of(entry)]
    seen: set[str] = set()
    while pending:
        module = pending.pop()
        if module not in seen and module not in LISTINGS:
            seen.add(module)
            pending.extend(_imports(module))
    return sorted(seen)


def _modules_of(entry: str) -> list[str]:
    """The modules of a subpackage, or the module itself."""
    folder = ROOT.joinpath(*entry.split("."))
    if folder.is_dir():
        return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in folder.rglob("*.py")]
    if not folder.with_suffix(".py").is_file():
        raise ValueError(f"{PACKAGE}.{entry}: no such module, expected one under {ROOT.name}/")
    return [entry]


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules of this package that `module` imports, at its top or inside functions."""
    found = (leads for target, name in _statements(module) for leads in _find(target, name))
    return tuple(dict.fromkeys(found))


def imports_of_file(file: Path) -> list[str]:
    """Package-relative names of the modules that a file outside this package imports."""
    found = {leads for target, name in _import_statements(file, []) for leads in _find(target, name)}
    return sorted(found - LISTINGS)


def _statements(module: str) -> Iterator[tuple[str, str | None]]:
    """(package-relative target, imported name or None) of every import of this package."""
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return _import_statements(file, module.split(".")[:-1])


def _import_statements(file: Path, parents: list[str]) -> Iterator[tuple[str, str | None]]:
    """`_statements` of a file in the package-relative package `parents`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(f"{PACKAGE}."):
                    yield alias.name.removeprefix(f"{PACKAGE}."), None
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = parents[: len(parents) - node.level + 1]
                target = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            elif (node.module or "").split(".")[0] == PACKAGE:
                target = (node.module or "").removeprefix(PACKAGE).removeprefix(".")
            else:
                continue
            for alias in node.names:
                yield target, alias.name


def _find(target: str, name: str | None) -> list[str]:
    """The module(s) that an import of `name` from `target` leads to."""
    path = ROOT.joinpath(*target.split(".")) if target else ROOT
    if not path.is_dir():
        return [target]
    init = ".".join([target, "__init__"]) if target else "__init__"
    if name is None:
        return [init]
    child = path / name
    inner = f"{target}.{name}" if target else name
    if child.with_suffix(".py").is_file():
        return [inner]
    if child.is_dir():
        return [f"{inner}.__init__"]
    origin = [found for found, bound in _statements(init) if bound == name] if target else []
    return _find(origin[0], name) if origin else [init]
