"""List every task with its version, chance and best shortcut."""

from __future__ import annotations

import argparse
from pathlib import Path

LENGTH = 1024  # tokens at which chance and guess are stated


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="the page docs/tasks.md")
    parser.add_argument("files", nargs="*", type=Path, help="list only the own tasks of this configuration")


def run(options: argparse.Namespace) -> int:
    from synapnet_edge import own_tasks
    from synapnet_edge.catalogue import build
    from synapnet_edge.config_files import load_config
    from synapnet_edge.reporting.task_page import task_page
    from synapnet_edge.tasks import TASKS

    own_tasks.announce(own_tasks.find(load_config(options.files), options.files))
    own = bool(options.files)
    names = [name for name, facts in build()["tasks"].items() if ("definition" in facts) == own]
    if options.markdown:
        print(task_page(TASKS, names), end="")
        return 0
    for task in map(TASKS.get, names):
        levels = f"chance {task.chance(LENGTH):.3f}, guess {task.guess(LENGTH):.3f} at {LENGTH} tokens"
        print(f"{task.name} version {task.version} ({task.suite}): {levels}")
    return 0
