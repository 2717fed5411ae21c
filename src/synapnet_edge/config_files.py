"""The workflow's YAML files: reading, merging, and checking before any job starts.

Kept apart from ``config`` on purpose: the model imports that module, so an edit of it re-runs training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from synapnet_edge.arms import arm_problems, shape_of, source_of, training_of
from synapnet_edge.cells import cells_of, grids
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
        problems = [*_model_problems(config), *_relation_problems(config), *_cell_problems(config)]
        problems += [*_stream_problems(config), *_baseline_problems(config), *_eviction_problems(config)]
        if not problems:  # experiments build on the model and the training
            problems += _experiment_problems(config)
        problems += _name_problems(config, names or {})
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


def _model_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    for name, values in config["models"].items():
        yield from _shape_problems(("models", name), values)


def _shape_problems(key: Key, values: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        SynapNetEdgeConfig.from_dict(values)
    except ValueError as error:
        name, _, rest = str(error).partition(": found ")
        found, _, expected = rest.partition(", expected ")
        yield Problem((*key, name), found, expected)


def _cell_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Blocks of cells that cannot be planned."""
    for key, block in _cell_blocks(config):
        try:
            cells_of({name: value for name, value in block.items() if name != "variants"})
        except ValueError as error:
            found, _, expected = str(error).removeprefix("found ").partition(", expected ")
            yield Problem(key, found, expected or "samples for every length")


def _cell_blocks(config: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """(key, block) of everything that says which cells are measured."""
    for name, suite in config["benchmark"]["suites"].items():
        yield ("benchmark", "suites", name), suite
    for name, experiment in config["experiments"].items():
        yield ("experiments", name, "evaluate"), experiment["evaluate"]


def _experiment_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Arms whose model or training cannot be built."""
    for name, block in config["experiments"].items():
        found = [
            Problem(("experiments", name, "arms", arm, key), *rest) for arm, key, *rest in arm_problems(block)
        ]
        yield from found
        trained = [] if found else [arm for arm in block["arms"] if source_of(block, arm) == arm]
        for arm in trained:
            key = ("experiments", name, "arms", arm)
            shape, training = shape_of(config, name, arm), training_of(config, name, arm)
            yield from _shape_problems((*key, "model"), shape)
            yield from _training_problems((*key, "pretrain"), training)
            yield from _chunk_problems((*key, "pretrain", "chunk_lens"), training, shape["chunk_len"], arm)


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
    for i, name in enumerate(run["experiments"]):
        if name not in config["experiments"]:
            yield unknown_name(("run", "experiments", i), name, "experiment", config["experiments"])
    yield from _training_problems(("pretrain",), pretrain)
    if pretrain["processes"] > 1 and config["device"] != "cpu":
        expected = f"1 with device: {config['device']}; processes share their gradients in main memory"
        yield Problem(("pretrain", "processes"), str(pretrain["processes"]), expected)
    yield from _deploy_problems(config["deploy"], models, config["seeds"])
    for name in run["models"]:
        longest = models[name]["chunk_len"] if name in models else min(pretrain["chunk_lens"])
        yield from _chunk_problems(("pretrain", "chunk_lens"), pretrain, longest, f"model {name}")


def _deploy_problems(
    deploy: Mapping[str, Any], models: Mapping[str, Any], seeds: Sequence[int]
) -> Iterator[Problem]:
    if deploy["seed"] not in seeds:
        yield Problem(("deploy", "seed"), str(deploy["seed"]), f"one of the trained seeds {seeds}")
    for name, block in deploy["random"].items():
        if block["model"] not in models:
            yield unknown_name(("deploy", "random", name, "model"), block["model"], "model", models)
    for key, block in _deploy_blocks(deploy):
        seconds = block.get("sustained_seconds", deploy["sustained_seconds"])
        if seconds < 2 * deploy["sustained_window"]:
            expected = f"at least two windows of {deploy['sustained_window']} s"
            yield Problem((*key, "sustained_seconds"), str(seconds), expected)


def _deploy_blocks(deploy: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """(key, block) of the deploy settings and of those that models with random weights change."""
    yield ("deploy",), deploy
    for name, its in deploy["random"].items():
        yield ("deploy", "random", name), its


def _stream_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    stream, models = config["stream"], config["models"]
    if stream["model"] not in models:
        yield unknown_name(("stream", "model"), stream["model"], "model", models)
    for i, seed in enumerate(stream.get("seeds", ())):
        if seed not in config["seeds"]:
            yield Problem(("stream", "seeds", i), str(seed), f"one of the trained seeds {config['seeds']}")
    late = [point for point in stream["checkpoints"] if point >= stream["tokens"]]
    if late:
        yield Problem(("stream", "checkpoints"), str(late), f"less than tokens = {stream['tokens']}")
    if stream["policy"] == "oracle":
        yield Problem(("stream", "policy"), "oracle", "a policy that does not know the future")
    elif stream["classifier"] and stream["policy"] != "baee":
        yield Problem(("stream", "classifier"), "true", f"false with policy {stream['policy']}")
    elif stream["classifier"] and stream["model"] != config["eviction"]["model"]:
        expected = "the model of `eviction`, for which the classifier is trained"
        yield Problem(("stream", "model"), stream["model"], expected)


def _baseline_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    baselines, suites = config["baselines"], config["benchmark"]["suites"]
    if baselines["reference"] not in config["models"]:
        yield unknown_name(("baselines", "reference"), baselines["reference"], "model", config["models"])
    if baselines["suite"] not in suites:
        yield unknown_name(("baselines", "suite"), baselines["suite"], "suite", suites)
    for i, seed in enumerate(baselines.get("seeds", ())):
        if seed not in config["seeds"]:
            yield Problem(("baselines", "seeds", i), str(seed), f"one of the trained seeds {config['seeds']}")
    kv = baselines["kv"]
    if kv["length"] <= kv["question"]:
        expected = f"more than question = {kv['question']}"
        yield Problem(("baselines", "kv", "length"), str(kv["length"]), expected)


def _eviction_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    cost = config["eviction_cost"]
    if cost["seed"] not in config["seeds"]:
        expected = f"one of the trained seeds {config['seeds']}"
        yield Problem(("eviction_cost", "seed"), str(cost["seed"]), expected)
    if "oracle" in cost["policies"]:
        yield Problem(("eviction_cost", "policies"), "oracle", "policies that do not know the future")
    held = set(config["retention"]["held_out"])
    if not any(weight for task, weight in config["pretrain"]["mixture"].items() if task not in held):
        expected = "at least one task of pretrain.mixture that is not held out"
        yield Problem(("retention", "held_out"), "all of them", expected)


def _training_problems(key: Key, pretrain: Mapping[str, Any]) -> Iterator[Problem]:
    if extension := pretrain.get("extension"):
        yield from _training_problems((*key, "extension"), {**pretrain, **extension, "extension": None})
    steps = sum(stage["steps"] for stage in pretrain["curriculum"])
    if pretrain["warmup_steps"] >= steps:
        expected = f"less than the {steps} steps of the curriculum"
        yield Problem((*key, "warmup_steps"), str(pretrain["warmup_steps"]), expected)
    if not any(pretrain["mixture"].values()):
        yield Problem((*key, "mixture"), "only zeros", "at least one positive weight")


def _chunk_problems(key: Key, pretrain: Mapping[str, Any], longest: int, whose: str) -> Iterator[Problem]:
    if min(pretrain["chunk_lens"]) > longest:
        expected = f"at least one length <= chunk_len = {longest} of {whose}"
        yield Problem(key, str(pretrain["chunk_lens"]), expected)


def _name_problems(config: Mapping[str, Any], names: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """Names that no registry holds."""
    for kind, key, name in _named(config):
        known = names.get(kind)
        if known is not None and name not in known:
            yield unknown_name(key, name, _SINGULAR[kind], known)


_SINGULAR = {
    "baselines": "baseline",
    "kv_policies": "cache policy",
    "tasks": "task",
    "policies": "policy",
    "variants": "variant",
    "tiers": "tier",
    "figures": "figure",
    "sections": "section",
}


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, Key, str]]:
    """(kind, key, name) of everything in the configuration that a registry has to know."""
    eviction, deploy = config["eviction"], config["deploy"]
    lists: list[tuple[str, Key, Sequence[str]]] = [
        ("figures", ("run", "figures"), config["run"]["figures"]),
        ("sections", ("run", "extras"), config["run"]["extras"]),
        ("variants", ("quantize", "variants"), config["quantize"]["variants"]),
        ("variants", ("paired", "against"), config["paired"]["against"]),
        ("policies", ("eviction", "policies"), eviction["policies"]),
        ("policies", ("eviction_cost", "policies"), config["eviction_cost"]["policies"]),
        ("tasks", ("eviction", "tasks"), eviction["tasks"]),
        ("tasks", ("retention", "held_out"), config["retention"]["held_out"]),
        ("tasks", ("pretrain", "probe", "tasks"), config["pretrain"]["probe"]["tasks"]),
        ("variants", ("deploy", "detail_variants"), deploy["detail_variants"]),
        ("tasks", ("peers", "tasks"), config["peers"]["tasks"]),
        ("tasks", ("task_tables", "tasks"), config["task_tables"].get("tasks", ())),
    ]
    for key, block in _deploy_blocks(deploy):
        for kind in ("variants", "backends", "metrics"):
            lists.append((kind, (*key, kind), block.get(kind, ())))
    yield from (
        ("tiers", ("deploy", "tiers", index), name)
        for index, name in enumerate(deploy["tiers"])
        if name not in deploy["devices"]
    )
    for key, block in _cell_blocks(config):
        lists.append(("variants", (*key, "variants"), block.get("variants", ())))
        for i, grid in enumerate(grids(block)):
            place = ("cells", i) if "cells" in block else ()
            lists.append(("tasks", (*key, *place, "tasks"), grid.get("tasks", ())))
    for kind, key, values in lists:
        yield from ((kind, (*key, index), name) for index, name in enumerate(values))
    for key, block in _training_blocks(config):
        yield from (("tasks", (*key, "mixture", name), name) for name in block.get("mixture", ()))
    yield "variants", ("qat_share", "variant"), config["qat_share"]["variant"]
    baselines = config["baselines"]
    yield from (("baselines", ("baselines", "models", i), name) for i, name in enumerate(baselines["models"]))
    yield from (("variants", ("baselines", "variants", i), v) for i, v in enumerate(baselines["variants"]))
    kv = baselines["kv"]
    yield from (("kv_policies", ("baselines", "kv", "policies", i), p) for i, p in enumerate(kv["policies"]))
    yield "tasks", ("baselines", "kv", "task"), kv["task"]
    yield "variants", ("eviction", "variant"), eviction["variant"]
    yield "variants", ("stream", "variant"), config["stream"]["variant"]
    yield "policies", ("stream", "policy"), config["stream"]["policy"]


def _training_blocks(config: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """(key, block) of every block with settings of a pretraining."""
    yield ("pretrain",), config["pretrain"]
    for name, experiment in config["experiments"].items():
        yield ("experiments", name, "pretrain"), experiment.get("pretrain", {})
        for arm, its in experiment["arms"].items():
            yield ("experiments", name, "arms", arm, "pretrain"), its.get("pretrain", {})
