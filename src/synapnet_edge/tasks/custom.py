"""Own tasks of the user become registered tasks: read from a file of the project, checked, and added.

The file is run as Python, so it is only taken from the folders that `own_tasks.find` allows; nothing in the
configuration is evaluated.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from synapnet_edge import own_tasks
from synapnet_edge.config_files import ConfigError
from synapnet_edge.provenance import imports_of_file
from synapnet_edge.registry import Registry
from synapnet_edge.schema_check import did_you_mean
from synapnet_edge.tasks.base import Task
from synapnet_edge.tasks.layout import NUM_CLASSES
from synapnet_edge.tasks.record_task import DescribedRecords

NAME = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*", re.ASCII)
# Registered name -> what the workflow needs to know: module, the package's modules it uses, its definition.
FACTS: dict[str, dict[str, Any]] = {}


def register_announced(registry: Registry[Task]) -> None:
    """Add the own tasks that this process was told of; those it already has are left alone.

    Raises
    ------
    ConfigError
        If one cannot be loaded, is not a complete task, or has a name or suite that is taken.
    """
    for entry in own_tasks.announced():
        register(entry, registry)


def register(entry: Mapping[str, Any], registry: Registry[Task]) -> None:
    """Add one entry of `own_tasks.find`, see `register_announced`."""
    if any(facts["definition"] == entry["definition"] for facts in FACTS.values()):
        return
    task = _described(entry) if "record" in entry else _loaded(entry)
    _check(task, registry, entry["place"])
    registry.add(task.name, task)
    uses = imports_of_file(Path(entry["file"])) if "file" in entry else [_module(DescribedRecords)]
    module = Path(entry["file"]).stem if "file" in entry else DescribedRecords.__module__
    FACTS[task.name] = {"module": module, "uses": uses, "definition": entry["definition"]}


def _described(entry: Mapping[str, Any]) -> Task:
    try:
        return DescribedRecords(**entry["record"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{entry['place']}.record: {error}") from error


def _loaded(entry: Mapping[str, Any]) -> Task:
    """The task that a class of the user's file makes."""
    name, place = entry["class"], entry["place"]
    module = _module_of(entry["file"], entry["definition"], place)
    classes = [
        key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, Task)
    ]
    if name not in classes:
        found = "no such class" if not hasattr(module, name) else "something else than a task"
        own = [key for key in classes if vars(module)[key].__module__ == module.__name__]
        expected = f"a class derived from Task: {', '.join(own) or 'none in this file'}"
        raise ConfigError(
            f"{place}.module: {Path(entry['file']).name}: {name}: found {found}, "
            f"expected {expected}{did_you_mean(name, own)}"
        )
    try:
        return getattr(module, name)(**entry["arguments"])
    except (TypeError, ValueError) as error:  # abstract methods left out, wrong arguments
        raise ConfigError(f"{place}: {name} cannot be made: {error}") from error


@cache
def _module_of(file: str, definition: str, place: str) -> ModuleType:
    """Run the file, under a name that no installed module has."""
    unique = f"synapnet_edge_own_{Path(file).stem}_{hashlib.sha256(file.encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(unique, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{place}.module: {file}: found a file that Python cannot load, expected a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        del sys.modules[unique]
        hint = (
            "; a task is one file: it cannot import its neighbours" if isinstance(error, ImportError) else ""
        )
        raise ConfigError(f"{place}.module: {file}: {type(error).__name__}: {error}{hint}") from error
    return module


def _check(task: Task, registry: Registry[Task], place: str) -> None:
    """Refuse a task that would be mistaken for another or that models cannot be asked."""
    built_in = {registry.get(name).suite for name in registry if name not in FACTS}
    rules = [
        ("name", task, isinstance(_get(task, "name"), str) and NAME.fullmatch(task.name), "suite/task"),
        ("suite", task, isinstance(_get(task, "suite"), str) and _get(task, "suite"), "text"),
        ("suite", task, _get(task, "suite") not in built_in, "a suite of your own, not one of the package's"),
        ("name", task, _get(task, "name") not in registry, "a name that no other task has"),
        ("version", task, _counts(task, "version"), "a whole number >= 1"),
        ("min_length", task, _counts(task, "min_length"), "a whole number >= 1"),
        (
            "num_classes",
            task,
            _counts(task, "num_classes") and task.num_classes <= NUM_CLASSES,
            f"a whole number from 1 to {NUM_CLASSES}",
        ),
    ]
    for key, owner, holds, expected in rules:
        if not holds:
            name = type(owner).__name__
            raise ConfigError(f"{place}: {name}.{key}: found {_get(owner, key)!r}, expected {expected}")


def _get(task: Task, key: str) -> Any:
    return getattr(task, key, None)


def _counts(task: Task, key: str) -> bool:
    value = _get(task, key)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _module(item: type) -> str:
    return item.__module__.partition(".")[2]
