"""The arms of an experiment: small models that differ in one thing, as plain settings.

An arm is trained with the reference model's shape and the reference training, each changed first by its
experiment and then by the arm itself. Values are replaced whole: a mixture of an experiment is not added to
the reference mixture. An arm with ``from`` is not trained; it takes the weights of another arm and changes
them (``after``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

BASE_MODEL = "reference"
# Of the reference training only: the curve of accuracy against cost, and how many processes share a job.
NOT_FOR_ARMS = ("probe", "processes")


def shape_of(config: Mapping[str, Any], experiment: str, arm: str) -> dict[str, Any]:
    """Every key of the arm's model."""
    block = config["experiments"][experiment]
    trained = block["arms"][source_of(block, arm)]
    return {**config["models"][BASE_MODEL], **block.get("model", {}), **trained.get("model", {})}


def training_of(config: Mapping[str, Any], experiment: str, arm: str) -> dict[str, Any]:
    """The arm's pretraining; tasks of weight 0 are left out of its mixture."""
    block = config["experiments"][experiment]
    trained = block["arms"][source_of(block, arm)]
    base = {key: value for key, value in config["pretrain"].items() if key != "extensions"}  # of another size
    settings = {**base, **block.get("pretrain", {}), **trained.get("pretrain", {})}
    settings["mixture"] = {task: weight for task, weight in settings["mixture"].items() if weight > 0}
    return {key: value for key, value in settings.items() if key not in NOT_FOR_ARMS}


def source_of(block: Mapping[str, Any], arm: str) -> str:
    """The arm whose trained weights `arm` uses: itself, or the one it names under ``from``."""
    return block["arms"][arm].get("from", arm)


def arm_problems(block: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(arm, key, found, expected) of arms that contradict themselves or others."""
    for name, arm in block["arms"].items():
        if "from" not in arm:
            if "after" in arm:
                yield name, "after", "no arm to take weights from", "the key from beside it"
            continue
        base, trained = arm["from"], [other for other, its in block["arms"].items() if "from" not in its]
        if base not in trained:
            yield name, "from", repr(base), f"an arm that is trained: {', '.join(trained)}"
        if "after" not in arm:
            yield name, "from", repr(base), "the key after beside it: what is changed in the weights"
        for key in ("model", "pretrain"):
            if key in arm:
                yield name, key, "settings", "none: the arm takes trained weights"
