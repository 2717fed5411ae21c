"""Batches of finetuning, drawn as pretraining draws them: lengths, chunk lengths and memories mix.

A quantised model that only saw one length in its last steps would forget the others; every step therefore
draws one stage of the pretraining curriculum and its extensions (all with equal odds: they have about as many
tokens a step) and the other draws of `training.loop`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.tasks.base import TaskBatch, split_id
from synapnet_edge.tasks.mixture import Mixture
from synapnet_edge.training.calibration import DEFAULT_MIXTURE
from synapnet_edge.training.schedule import draw_write_share

# What of the pretraining settings the batches depend on, with the defaults of a call without them.
DATA_KEYS: dict[str, Any] = {
    "curriculum": ({"length": 1024, "batch": 4, "readouts": 16},),
    "chunk_lens": (),
    "least_entries": None,
    "mixture": DEFAULT_MIXTURE,
}


class FinetuneStep(NamedTuple):
    """One step's batch, and the arguments of the model's forward pass that were drawn for it.

    `behind`: what the rows may stand behind, if the stage they are of says so.
    """

    batch: TaskBatch
    options: dict[str, Any]
    behind: Behind | None = None


class Behind(NamedTuple):
    """Arguments of `Haystacks.stand_behind`, and the seed of its draws: the same for model and teacher."""

    kinds: list[str | None]
    tokens: int
    most: int
    draws: int
    seed: int


def finetune_steps(data: Mapping[str, Any], model: SynapNetEdgeConfig, seed: int) -> Iterator[FinetuneStep]:
    """Endless steps, the same for the same seed, settings and model.

    Parameters
    ----------
    data : mapping
        Some of `DATA_KEYS`, as the `pretrain` block of the configuration has them.
    model : SynapNetEdgeConfig
        Bounds what is drawn: chunk length, share of tokens written, entries kept.
    """
    settings = {key: data.get(key, default) for key, default in DATA_KEYS.items()}
    mixture = Mixture(settings["mixture"])
    chunk_lens = [length for length in settings["chunk_lens"] if length <= model.chunk_len]
    chunk_lens = chunk_lens or [model.chunk_len]
    key = (split_id("train"), zlib.crc32(b"finetune"))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    while True:
        stage = settings["curriculum"][int(rng.integers(len(settings["curriculum"])))]
        options = {
            "chunk_len": int(rng.choice(chunk_lens)),
            "write_share": draw_write_share(rng, model.episodic_slots / model.chunk_len),
            "max_entries": _entries(
                rng, stage.get("least_entries", settings["least_entries"]), model.max_entries
            ),
        }
        batch = mixture.batch(rng, stage["batch"], stage["length"], stage["readouts"])
        behind = None
        if stage.get("haystack"):
            limits = (stage["haystack"], options["max_entries"], stage.get("draws", 1))
            behind = Behind(mixture.haystacks(batch), *limits, int(rng.integers(2**32)))
        yield FinetuneStep(batch, options, behind)


def _entries(rng: np.random.Generator, least: int | None, most: int) -> int:
    """Entries a layer keeps: log-uniform between `least` and `most`, as at the end of pretraining."""
    if least is None or least >= most:
        return most
    return max(1, round(most * draw_write_share(rng, least / most)))
