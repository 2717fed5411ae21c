"""Names in a configuration that a registry has to know."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from synapnet_edge.cells import grids
from synapnet_edge.config_relations import cell_blocks, deploy_blocks
from synapnet_edge.policy_names import split_policy
from synapnet_edge.schema_check import Key, Problem, unknown_name


def name_problems(config: Mapping[str, Any], names: Mapping[str, Collection[str]]) -> Iterator[Problem]:
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
        ("baselines", ("run", "baselines"), config["run"]["baselines"]),
        ("variants", ("quantize", "variants"), config["quantize"]["variants"]),
        ("variants", ("paired", "against"), config["paired"]["against"]),
        *(
            ("policies", (block, "policies"), [split_policy(name)[0] for name in config[block]["policies"]])
            for block in ("eviction", "eviction_cost")
        ),
        ("tasks", ("eviction", "tasks"), eviction["tasks"]),
        ("tasks", ("retention", "held_out"), config["retention"]["held_out"]),
        ("tasks", ("pretrain", "probe", "tasks"), config["pretrain"]["probe"]["tasks"]),
        ("variants", ("deploy", "detail_variants"), deploy["detail_variants"]),
        ("tasks", ("peers", "tasks"), config["peers"]["tasks"]),
        ("tasks", ("backends", "tasks"), config["backends"]["tasks"]),
        ("variants", ("backends", "variants"), config["backends"]["variants"]),
        ("tasks", ("task_tables", "tasks"), config["task_tables"].get("tasks", ())),
    ]
    for key, block in deploy_blocks(deploy):
        for kind in ("variants", "backends", "metrics"):
            lists.append((kind, (*key, kind), block.get(kind, ())))
    yield from (
        ("tiers", ("deploy", "tiers", index), name)
        for index, name in enumerate(deploy["tiers"])
        if name not in deploy["devices"]
    )
    for key, block in cell_blocks(config):
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
    yield "policies", ("stream", "policy"), split_policy(config["stream"]["policy"])[0]


def _training_blocks(config: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """(key, block) of every block with settings of a pretraining."""
    yield ("pretrain",), config["pretrain"]
    for name, experiment in config["experiments"].items():
        yield ("experiments", name, "pretrain"), experiment.get("pretrain", {})
        for arm, its in experiment["arms"].items():
            yield ("experiments", name, "arms", arm, "pretrain"), its.get("pretrain", {})
