"""The workflow's YAML files: reading, merging, and checking before any job starts.

Kept apart from ``config`` on purpose: the model imports that module, so an edit of it re-runs training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.schema_check import Key, Problem, schema_problems, unknown_name

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
        Registered names by kind (tasks, policies, variants, tiers, figures), see ``catalogue``. Without it
        names are not checked.
    schema : path, optional
        JSON Schema as YAML; the default is ``config/schema.yaml`` of this checkout.

    Raises
    ------
    ConfigError
        One line per problem: file, key, found, expected, near matches.
    """
    problems = list(schema_problems(config, _read_yaml(schema or SCHEMA)))
    if not problems:  # the relations below need values of the right kind
        problems = [*_model_problems(config), *_relation_problems(config)]
        problems += _name_problems(config, names or {})
    if problems:
        raise ConfigError(
            "\n".join(problem.describe(_file_of(problem.key, config, files)) for problem in problems)
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


def _file_of(key: Key, config: Mapping[str, Any], files: Sequence[str | Path]) -> str:
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


def _model_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    for name, values in config["models"].items():
        try:
            SynapNetEdgeConfig.from_dict(values)
        except ValueError as error:
            key, _, rest = str(error).partition(": found ")
            found, _, expected = rest.partition(", expected ")
            yield Problem(("models", name, key), found, expected)


def _relation_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Relations between values of different blocks."""
    models, run, pretrain = config["models"], config["run"], config["pretrain"]
    named = [(("run", "models", i), name) for i, name in enumerate(run["models"])]
    for key, name in [*named, (("eviction", "model"), config["eviction"]["model"])]:
        if name not in models:
            yield unknown_name(key, name, "model", models)
    suites = config["benchmark"]["suites"]
    for i, name in enumerate(run["suites"]):
        if name not in suites:
            yield unknown_name(("run", "suites", i), name, "suite", suites)
    steps = sum(stage["steps"] for stage in pretrain["curriculum"])
    if pretrain["warmup_steps"] >= steps:
        expected = f"less than the {steps} steps of the curriculum"
        yield Problem(("pretrain", "warmup_steps"), str(pretrain["warmup_steps"]), expected)
    if not any(pretrain["mixture"].values()):
        yield Problem(("pretrain", "mixture"), "only zeros", "at least one positive weight")
    if config["deploy"]["seed"] not in config["seeds"]:
        expected = f"one of the trained seeds {config['seeds']}"
        yield Problem(("deploy", "seed"), str(config["deploy"]["seed"]), expected)
    for name in run["models"]:
        longest = models[name]["chunk_len"] if name in models else min(pretrain["chunk_lens"])
        if min(pretrain["chunk_lens"]) > longest:
            expected = f"at least one length <= chunk_len = {longest} of model {name}"
            yield Problem(("pretrain", "chunk_lens"), str(pretrain["chunk_lens"]), expected)


def _name_problems(config: Mapping[str, Any], names: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """Names that no registry holds."""
    for kind, key, name in _named(config):
        known = names.get(kind)
        if known is not None and name not in known:
            yield unknown_name(key, name, _SINGULAR[kind], known)


_SINGULAR = {
    "tasks": "task",
    "policies": "policy",
    "variants": "variant",
    "tiers": "tier",
    "figures": "figure",
}


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, Key, str]]:
    """(kind, key, name) of everything in the configuration that a registry has to know."""
    eviction, deploy = config["eviction"], config["deploy"]
    lists: list[tuple[str, Key, Sequence[str]]] = [
        ("figures", ("run", "figures"), config["run"]["figures"]),
        ("variants", ("quantize", "variants"), config["quantize"]["variants"]),
        ("policies", ("eviction", "policies"), eviction["policies"]),
        ("tiers", ("deploy", "tiers"), deploy["tiers"]),
        ("variants", ("deploy", "variants"), deploy["variants"]),
    ]
    for suite, block in config["benchmark"]["suites"].items():
        lists.append(("tasks", ("benchmark", "suites", suite, "tasks"), block["tasks"]))
    for kind, key, values in lists:
        yield from ((kind, (*key, index), name) for index, name in enumerate(values))
    yield from (("tasks", ("pretrain", "mixture", name), name) for name in config["pretrain"]["mixture"])
    yield "variants", ("eviction", "variant"), eviction["variant"]
    yield "tasks", ("eviction", "task"), eviction["task"]
