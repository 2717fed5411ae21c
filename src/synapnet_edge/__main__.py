"""Command line: check a configuration, or list what one can name.

python -m synapnet_edge validate config/reference.yaml my.yaml
python -m synapnet_edge info [--figures]
python -m synapnet_edge tasks [--markdown] [my.yaml]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from synapnet_edge import own_tasks
from synapnet_edge.catalogue import build
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.config_files import ConfigError, load_config, validate_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="synapnet_edge", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    validate = commands.add_parser("validate", help="check YAML files, merged from left to right")
    validate.add_argument("files", nargs="+", type=Path)
    info = commands.add_parser("info", help="what can be named, and the model's parameters")
    info.add_argument("--figures", action="store_true", help="figure names only")
    tasks = commands.add_parser("tasks", help="every task with its version, chance and best shortcut")
    tasks.add_argument("--markdown", action="store_true", help="the page docs/tasks.md")
    tasks.add_argument("files", nargs="*", type=Path, help="list only the own tasks of this configuration")
    options = parser.parse_args(arguments)
    if options.command == "validate":
        return _validate(options.files)
    return _info(options.figures) if options.command == "info" else _tasks(options.files, options.markdown)


def _validate(files: Sequence[Path]) -> int:
    try:
        config = validate_config(load_config(files), files)
        own_tasks.announce(own_tasks.find(config, files))
        validate_config(config, files, build())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print("valid")
    return 0


def _info(figures_only: bool) -> int:
    catalogue = build()
    if figures_only:
        print(*catalogue["figures"])
        return 0
    for kind, names in catalogue.items():
        print(f"{kind}: {', '.join(names)}")
    from synapnet_edge.models import SynapNetEdge

    parameters = SynapNetEdge(SynapNetEdgeConfig()).component_parameters()
    counts = ", ".join(f"{component} {count:,}" for component, count in parameters.items())
    print(f"parameters of the reference model: {sum(parameters.values()):,} ({counts})")
    return 0


def _tasks(files: Sequence[Path], markdown: bool) -> int:
    from synapnet_edge.reporting.task_page import task_page
    from synapnet_edge.tasks import TASKS

    try:
        own_tasks.announce(own_tasks.find(load_config(files), files))
        names = [name for name, facts in build()["tasks"].items() if ("definition" in facts) == bool(files)]
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    if markdown:
        print(task_page(TASKS, names), end="")
        return 0
    for task in map(TASKS.get, names):
        levels = f"chance {task.chance(1024):.3f}, guess {task.guess(1024):.3f} at 1024 tokens"
        print(f"{task.name} version {task.version} ({task.suite}): {levels}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
