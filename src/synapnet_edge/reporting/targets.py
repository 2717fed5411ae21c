"""What the long-context table is measured against: the goals, as data.

The goals hold for the reference model in float16, pooled over its trained seeds.
"""

from __future__ import annotations

from typing import NamedTuple

SUITE = "long_context"
VARIANT = "fp16"
SEEDS = 3  # trained from scratch
ROWS = 500  # per cell over all seeds
SPREAD = 0.02  # largest standard deviation over trained seeds in a headline cell
HEADLINE = (("reference/niah_single", 1024), ("reference/niah_multi_key", 1024))
CORE_MINUTES = 12.0  # of pretraining one seed
MQAR = ("mqar/mqar64", 128, 0.99)  # task, length, goal
MQAR_PARAMETERS = 1_000_000  # the model has fewer


class Target(NamedTuple):
    """Goals of a group of tasks that are judged together."""

    tasks: tuple[str, ...]
    goals: dict[int, float]  # length -> lowest pooled accuracy

    @property
    def words(self) -> str:
        """What is asked, in one line."""
        lengths = " / ".join(map(str, self.goals))
        values = list(self.goals.values())
        goal = f"{values[0]:.2f}" if len(set(values)) == 1 else " / ".join(f"{v:.2f}" for v in values)
        return f"{', '.join(self.tasks)} at {lengths}: at least {goal}"


def _reference(*names: str) -> tuple[str, ...]:
    return tuple(f"reference/{name}" for name in names)


TARGETS: tuple[Target, ...] = (
    Target(
        _reference("niah_single", "snia", "variable_track", "fa", "ron"),
        dict.fromkeys((1024, 2048, 4096, 8192), 0.99),
    ),
    Target(_reference("niah_multi_key", "mkn"), dict.fromkeys((1024, 2048, 4096, 8192), 0.99)),
    Target(_reference("cn", "adn"), {512: 0.95, 1024: 0.95, 2048: 0.95, 8192: 0.90}),
    Target(_reference("niah_single", "niah_multi_key"), {16384: 0.95, 32768: 0.95}),
    Target(("ruler/niah_multikey_1", "ruler/niah_single_2"), {1024: 0.97, 4096: 0.95, 8192: 0.95}),
    Target(("ruler/vt", "ruler/qa_2"), {1024: 0.85, 4096: 0.75}),
)


def goal_of(task: str, length: int) -> float | None:
    """The goal of one cell, if it has one."""
    for target in TARGETS:
        if task in target.tasks and length in target.goals:
            return target.goals[length]
    return None
