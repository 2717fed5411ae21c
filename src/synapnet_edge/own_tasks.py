"""A user's own tasks: where the configuration says they are, and how every process of a run learns of them.

Jobs are processes of their own, some of which start further ones. They find the list in one variable of the
environment, which they inherit, as they do the search path of the package (`threads.put_checkout_first`).
Nothing here imports a task: see `tasks.custom`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synapnet_edge.config_files import ConfigError, file_of
from synapnet_edge.schema_check import Key, Problem

ENVIRONMENT = "SYNAPNET_EDGE_TASKS"
# A file and a class, nothing that could be evaluated or leave its folder.
REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)


def find(config: Mapping[str, Any], files: Sequence[str | Path]) -> list[dict[str, Any]]:
    """The entries of `tasks`, each with the file it needs and a fingerprint of its definition.

    Parameters
    ----------
    config : mapping
        A merged configuration.
    files : sequence of paths
        The YAML files it was merged from. A module is looked for beside them, the last one first, and then in
        the working directory, and nowhere else.

    Returns
    -------
    list of dict
        `place` (for messages), `definition` (12 hexadecimal digits), and `record`, or `file`, `class` and
        `arguments`.

    Raises
    ------
    ConfigError
        If an entry is of another form, a module cannot be found there, or its path leads out of the folder.
    """
    folders = [Path(file).resolve().parent for file in reversed(files)] + [Path.cwd()]
    found, problems = [], []
    for index, entry in enumerate(config.get("tasks", [])):
        key: Key = ("tasks", index)
        file = None
        if not isinstance(entry, Mapping) or ("module" in entry) == ("record" in entry):
            problems.append(Problem(key, repr(entry), "either module or record"))
            continue
        if "module" in entry:
            file = _locate(entry["module"], list(dict.fromkeys(folders)))
            if isinstance(file, str):
                problems.append(Problem((*key, "module"), repr(entry["module"]), file))
                continue
        found.append(_announcement(entry, file, f"{file_of(key, config, files)}: key tasks.{index}"))
    if problems:
        raise ConfigError(
            "\n".join(problem.describe(file_of(problem.key, config, files)) for problem in problems)
        )
    return found


def announce(found: Sequence[Mapping[str, Any]]) -> None:
    """Let this process, from now on, and those it starts know the own tasks."""
    if found:
        os.environ[ENVIRONMENT] = json.dumps(list(found))
    else:
        os.environ.pop(ENVIRONMENT, None)


def announced() -> list[dict[str, Any]]:
    """What `announce` told this process or one above it."""
    return json.loads(os.environ.get(ENVIRONMENT) or "[]")


def fingerprint() -> str:
    """One name for all announced definitions; empty if there are none."""
    digests = [entry["definition"] for entry in announced()]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12] if digests else ""


def _locate(reference: str, folders: Sequence[Path]) -> Path | str:
    """The module's file, or what was expected instead."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        return "module:Class, such as my_tasks:MyTask"
    path = Path(*match[1].split(".")).with_suffix(".py")
    for folder in folders:
        if (folder / path).is_file():
            file = (folder / path).resolve()
            if not file.is_relative_to(folder.resolve()):
                return f"a file inside {folder}, not a link that leads out of it"
            return file
    return f"a file {path} in one of the folders {', '.join(map(str, folders))}"


def _announcement(entry: Mapping[str, Any], file: Path | None, place: str) -> dict[str, Any]:
    """An entry with the fingerprint of all it says: not of where its file lies, which changes nothing."""
    digest = hashlib.sha256(json.dumps(entry, sort_keys=True).encode())
    if file is None:
        return {"place": place, "definition": digest.hexdigest()[:12], "record": dict(entry["record"])}
    digest.update(file.read_bytes())
    return {
        "place": place,
        "definition": digest.hexdigest()[:12],
        "file": str(file),
        "class": entry["module"].partition(":")[2],
        "arguments": dict(entry.get("arguments", {})),
    }
