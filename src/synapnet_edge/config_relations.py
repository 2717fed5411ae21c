"""Relations between values of a configuration that its schema cannot tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synapnet_edge.arms import arm_problems, shape_of, source_of, training_of
from synapnet_edge.cells import cells_of
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.policy_names import split_policy
from synapnet_edge.schema_check import Key, Problem, unknown_name


def relation_problems(config: Mapping[str, Any]) -> list[Problem]:
    """Every problem of a configuration that fits the schema; names apart, see `config_names`."""
    problems = [*_model_problems(config), *_relation_problems(config), *_cell_problems(config)]
    problems += [*_stream_problems(config), *_baseline_problems(config), *_eviction_problems(config)]
    # Experiments build on the model and the training.
    return problems or list(_experiment_problems(config))


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
    for key, block in cell_blocks(config):
        try:
            cells_of({name: value for name, value in block.items() if name != "variants"})
        except ValueError as error:
            found, _, expected = str(error).removeprefix("found ").partition(", expected ")
            yield Problem(key, found, expected or "samples for every length")


def cell_blocks(config: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
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
    for key, block in deploy_blocks(deploy):
        seconds = block.get("sustained_seconds", deploy["sustained_seconds"])
        if seconds < 2 * deploy["sustained_window"]:
            expected = f"at least two windows of {deploy['sustained_window']} s"
            yield Problem((*key, "sustained_seconds"), str(seconds), expected)


def deploy_blocks(deploy: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
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
    policy = split_policy(stream["policy"])[0]
    if policy == "oracle":
        yield Problem(("stream", "policy"), "oracle", "a policy that does not know the future")
    elif stream["classifier"] and policy != "baee":
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
    for i, name in enumerate(config["run"]["baselines"]):
        if name not in baselines["models"]:
            expected = f"one of baselines.models {baselines['models']}"
            yield Problem(("run", "baselines", i), name, expected)
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
    if "oracle" in {split_policy(name)[0] for name in cost["policies"]}:
        yield Problem(("eviction_cost", "policies"), "oracle", "policies that do not know the future")
    held = set(config["retention"]["held_out"])
    if not any(weight for task, weight in config["pretrain"]["mixture"].items() if task not in held):
        expected = "at least one task of pretrain.mixture that is not held out"
        yield Problem(("retention", "held_out"), "all of them", expected)


def _training_problems(key: Key, pretrain: Mapping[str, Any]) -> Iterator[Problem]:
    for number, extension in enumerate(pretrain.get("extensions", [])):
        its_key = (*key, "extensions", number)
        yield from _training_problems(its_key, {**pretrain, **extension, "extensions": []})
    for number, stage in enumerate(pretrain["curriculum"]):
        if stage.get("draws", 1) > 1 and "haystack" not in stage:
            expected = "1, or the key haystack beside it"
            yield Problem((*key, "curriculum", number, "draws"), str(stage["draws"]), expected)
    if pretrain.get("blend", 1) < 1 and pretrain["ema"]:
        yield Problem((*key, "blend"), str(pretrain["blend"]), f"1 with ema = {pretrain['ema']}")
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
