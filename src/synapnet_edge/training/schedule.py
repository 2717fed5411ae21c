"""What is trained when: curriculum stages, learning rate, write share and chunk length of every step.

Everything is a function of the step, so that a resumed run needs no state but its step number.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Stage:
    """A stretch of the curriculum: `steps` batches of `batch` sequences, up to `readouts` answers each.

    `tasks`: the tasks of the mixture that are drawn; none named = all of them. `least_entries`: as in
    `PretrainConfig`, for this stage; None = that one. `haystack`: mean tokens of the haystacks that rows
    stand behind (`training.haystacks`); None = they stand alone. `draws`: most drawn tokens of which one,
    that of the highest prior, comes into a haystack.
    """

    length: int
    steps: int
    batch: int
    readouts: int
    tasks: tuple[str, ...] = ()
    least_entries: int | None = None
    haystack: int | None = None
    draws: int = 1

    def __post_init__(self) -> None:
        for key in ("length", "steps", "batch", "readouts", "least_entries", "haystack", "draws"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise ValueError(f"curriculum {key}: found {getattr(self, key)}, expected at least 1")
        if self.draws > 1 and self.haystack is None:
            raise ValueError(
                f"curriculum draws: found {self.draws} without a haystack, expected one beside it"
            )


@dataclass(frozen=True)
class ProbePlan:
    """When and on what the model is scored while it trains; no tasks = never.

    Attributes
    ----------
    at : tuple of float
        Shares of the steps, in (0, 1].
    tasks : tuple of str
    length, samples : int
        Tokens of a validation row, rows per task.
    """

    at: tuple[float, ...] = ()
    tasks: tuple[str, ...] = ()
    length: int = 512
    samples: int = 64

    def __post_init__(self) -> None:
        for share in self.at:
            if not 0 < share <= 1:
                raise ValueError(f"probe at: found {share}, expected more than 0 and at most 1")
        for key in ("length", "samples"):
            if getattr(self, key) < 1:
                raise ValueError(f"probe {key}: found {getattr(self, key)}, expected at least 1")

    def due(self, steps: int) -> frozenset[int]:
        """Numbers of finished steps after which to probe, in a run of `steps`."""
        return frozenset(max(1, round(share * steps)) for share in self.at) if self.tasks else frozenset()


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of one pretraining run (the `pretrain` block of the configuration).

    Attributes
    ----------
    learning_rate, weight_decay, betas, clip_norm
        AdamW and gradient clipping.
    warmup_steps : int
        Linear warm-up; afterwards a cosine to `final_rate` times the peak.
    autocast : str
        "auto", "bfloat16" or "off".
    checkpoint_every : int
        Steps between resumable checkpoints.
    curriculum : tuple of Stage
    chunk_lens : tuple of int
        Chunk lengths drawn per step, so that no ability depends on one of them.
    salience_weight : float
        Weight of the loss that teaches the salience which tokens questions read (0 = off).
    write_share_anneal_steps : int
        Steps over which the least share of tokens written goes from 1 to its final value: the memory path is
        trained before the salience has learned what to write. Each step draws its share between that and
        1, so that reads learn to stand more entries than their training length would give.
    least_entries : int or None
        Fewest entries a layer keeps in a training step: each step draws between the annealed one and
        the model's `max_entries`. What is left of a short sequence is then as much a selection as what is
        left of one many times longer at inference. None = always `max_entries`.
    mixture : dict
        Task name to weight.
    processes : int
        Processes that train together; each takes `batch` of every step's `processes * batch` sequences.
    emphasis : float
        How far the tasks' weights follow their losses, see `training.emphasis`; 0 = not at all.
    ema : float
        Decay of the average of the weights that becomes the final model; 0 = the last weights do.
    blend : float
        Of an extension: how far the final model goes from the weights it began with to those it ends with;
        1 = all the way. Not together with `ema`.
    probe : ProbePlan
    extensions : tuple of mappings
        What differs in further trainings, each of which goes on from the finished model, see `phases`.
    first_step, first_stage : int
        Steps and stages before this training; not settings, `phases` sets them.
    """

    learning_rate: float
    warmup_steps: int
    curriculum: tuple[Stage, ...]
    mixture: dict[str, float]
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0
    autocast: str = "auto"
    checkpoint_every: int = 100
    chunk_lens: tuple[int, ...] = (32, 64, 128)
    write_share_anneal_steps: int = 1
    salience_weight: float = 0.0
    least_entries: int | None = None
    final_rate: float = 0.05
    processes: int = 1
    ema: float = 0.0
    blend: float = 1.0
    emphasis: float = 0.0
    probe: ProbePlan = ProbePlan()
    extensions: tuple[Mapping[str, Any], ...] = ()
    first_step: int = 0
    first_stage: int = 0

    def __post_init__(self) -> None:
        for index, stage in enumerate(self.curriculum):
            unknown = sorted(set(stage.tasks) - set(self.mixture))
            if unknown:
                raise ValueError(
                    f"curriculum stage {index}, tasks: found {unknown}, expected tasks of the mixture"
                )
        if self.processes < 1:
            raise ValueError(f"processes: found {self.processes}, expected at least 1")
        if self.least_entries is not None and self.least_entries < 1:
            raise ValueError(f"least_entries: found {self.least_entries}, expected at least 1")
        if not 0 <= self.emphasis < 1:
            raise ValueError(f"emphasis: found {self.emphasis}, expected at least 0 and less than 1")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema: found {self.ema}, expected at least 0 and less than 1")
        if not 0 < self.blend <= 1:
            raise ValueError(f"blend: found {self.blend}, expected more than 0 and at most 1")
        if self.blend < 1 and (self.ema or not self.first_step):
            expected = "1 without an extension, or with ema > 0"
            raise ValueError(f"blend: found {self.blend}, expected {expected}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PretrainConfig:
        """Build from the configuration block; mixture entries of weight 0 are left out."""
        values = dict(values)
        values["curriculum"] = _stages(values["curriculum"])
        values["mixture"] = {name: weight for name, weight in values["mixture"].items() if weight > 0}
        values["betas"] = tuple(values.get("betas", cls.betas))
        values["chunk_lens"] = tuple(values.get("chunk_lens", cls.chunk_lens))
        values["extensions"] = tuple(values.get("extensions", ()))
        probe = values.get("probe", {})
        values["probe"] = ProbePlan(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in probe.items()}
        )
        return cls(**values)

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.curriculum)


def phases(config: PretrainConfig) -> tuple[PretrainConfig, ...]:
    """The training itself and its extensions.

    An extension starts with the weights of the model so far, a new optimiser and its own warm-up and cosine,
    on batches not drawn before. What it does not name is as in the training itself. What those of the
    reference model are worth was measured: docs/trials.md.
    """
    main = replace(config, extensions=())
    found = [main]
    for changes in config.extensions:
        changed = {"write_share_anneal_steps": 0, **changes}
        if "curriculum" in changed:
            changed["curriculum"] = _stages(changed["curriculum"])
        changed["first_step"] = found[-1].first_step + found[-1].steps
        changed["first_stage"] = found[-1].first_stage + len(found[-1].curriculum)
        found.append(replace(main, **changed))
    return tuple(found)


def stage_at(config: PretrainConfig, step: int) -> tuple[int, Stage]:
    """Index and stage of the 0-based `step`."""
    for index, stage in enumerate(config.curriculum):
        if step < stage.steps:
            return index, stage
        step -= stage.steps
    raise ValueError(f"step lies {step} steps beyond the curriculum's {config.steps}")


def _stages(entries: Sequence[Mapping[str, Any]]) -> tuple[Stage, ...]:
    return tuple(Stage(**{**entry, "tasks": tuple(entry.get("tasks", ()))}) for entry in entries)


def learning_rate_at(config: PretrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine from the peak to `final_rate` times the peak."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    share = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * share


def least_write_share_at(config: PretrainConfig, step: int, final: float) -> float:
    """Least share of a chunk's tokens that a step may write to memory: linear from 1 to `final`."""
    progress = min(1.0, step / max(1, config.write_share_anneal_steps))
    return 1.0 + (final - 1.0) * progress


def draw_max_entries(rng: np.random.Generator, config: PretrainConfig, step: int, most: int) -> int:
    """Entries a layer keeps in this step: between the annealed `least_entries` and `most`, log-uniform."""
    fewest = stage_at(config, step)[1].least_entries or config.least_entries
    if fewest is None or fewest >= most:
        return most
    least = least_write_share_at(config, step, fewest / most)
    return max(1, round(most * draw_write_share(rng, least)))


def draw_write_share(rng: np.random.Generator, least: float) -> float:
    """Share between `least` and 1, uniform in its logarithm.

    A step that writes everything fills the memory as a context 1 / `final` times longer would.
    """
    return float(least ** rng.random())


def step_generator(seed: int, step: int) -> np.random.Generator:
    """Random stream of one training step; disjoint from every evaluation stream."""
    key = (zlib.crc32(b"pretrain"), step)
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))
