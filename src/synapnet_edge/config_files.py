"""The workflow's YAML files: reading, merging, and checking before any job starts.

Kept apart from ``config`` on purpose: the model imports that module, so an edit of it re-runs training.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from synapnet_edge.config_names import name_problems
from synapnet_edge.config_relations import relation_problems
from synapnet_edge.schema_check import Key, schema_problems

SCHEMA = Path(__file__).parents[2] / "config" / "schema.yaml"


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names file, key, found and expected."""


def load_config(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Read YAML files and merge them from left to right: mappings key by key, everything else replaces.

    This is how the workflow merges ``--configfile`` over ``config/reference.yaml``.

    Raises
    ------
    ConfigError
        If a file is missing, is not YAML or is not a mapping.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = _merge(merged, _read_yaml(path))
    return merged


def validate_config(
    config: Mapping[str, Any],
    files: Sequence[str | Path],
    names: Mapping[str, Collection[str]] | None = None,
    schema: str | Path | None = None,
) -> dict[str, Any]:
    """Return `config` if it can run, else raise with every problem found.

    Parameters
    ----------
    config : mapping
        The merged configuration.
    files : sequence of paths
        The YAML files it was merged from, in order; a message names the last one that holds the key.
    names : mapping, optional
        Registered names by kind (tasks, policies, variants, tiers, figures, sections), see ``catalogue``.
        Without it names are not checked.
    schema : path, optional
        JSON Schema as YAML; the default is ``config/schema.yaml`` of this checkout.

    Raises
    ------
    ConfigError
        One line per problem: file, key, found, expected, near matches.
    """
    problems = list(schema_problems(config, _read_yaml(schema or SCHEMA)))
    if not problems:  # the relations below need values of the right kind
        problems = [*relation_problems(config), *name_problems(config, names or {})]
    if problems:
        raise ConfigError(
            "\n".join(problem.describe(file_of(problem.key, config, files)) for problem in problems)
        )
    return dict(config)


def _read_yaml(path: str | Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}), expected a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: found {type(content).__name__}, expected a mapping of keys to values")
    return content


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merge(below, value) if both else value
    return merged


def file_of(key: Key, config: Mapping[str, Any], files: Sequence[str | Path]) -> str:
    """Where the value of `key` comes from: a file, or the command line if no file says the same."""
    contents = [(str(path), _read_yaml(path)) for path in reversed(files)]
    value = _lookup(config, key)
    if value is not _ABSENT:
        return next(
            (path for path, content in contents if _lookup(content, key) == value), "command line (--config)"
        )
    # A missing key: the last file with the block that lacks it.
    for length in range(len(key) - 1, 0, -1):
        for path, content in contents:
            if _lookup(content, key[:length]) is not _ABSENT:
                return path
    return ", ".join(str(path) for path in files)


_ABSENT = object()


def _lookup(content: Any, key: Key) -> Any:
    """The value at `key`, or `_ABSENT`."""
    for part in key:
        if isinstance(content, Mapping):
            content = next((value for name, value in content.items() if str(name) == str(part)), _ABSENT)
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            content = content[part]
        else:
            return _ABSENT
    return content
