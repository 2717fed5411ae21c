"""Calibration data and the calibrate stage: input statistics of every linear layer."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from synapnet_edge.artifacts import read_tensors, write_tensors
from synapnet_edge.quantization.cajq import resolve_device
from synapnet_edge.quantization.checkpoint import load_model
from synapnet_edge.quantization.statistics import SECOND_MOMENT, collect_statistics
from synapnet_edge.tasks.base import split_id
from synapnet_edge.tasks.mixture import Mixture

# Shares of the reference protocol's training mixture.
DEFAULT_MIXTURE: dict[str, float] = {
    "reference/niah_single": 0.40,
    "reference/niah_multi_key": 0.30,
    "reference/variable_track": 0.15,
    "reference/fa": 0.15,
}
READOUTS = 8


@dataclass(frozen=True)
class CalibrationLoader:
    """Batches int64 ``[b, seq_len]`` of the task mixture's calibration split; every pass gives the same ones.

    The random stream of a batch depends on (seed, split, length, batch number) only, so it never meets a
    training, validation or test row.
    """

    n_samples: int
    seq_len: int
    vocab_size: int
    batch_size: int
    seed: int
    mixture: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIXTURE))

    def __post_init__(self) -> None:
        for key in ("n_samples", "seq_len", "vocab_size", "batch_size"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: found {getattr(self, key)}, expected at least 1")
        if self.seed < 0:
            raise ValueError(f"seed: found {self.seed}, expected at least 0")

    def __len__(self) -> int:
        return -(-self.n_samples // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        for ids, _ in self.questions():
            yield ids

    def questions(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches with the positions ``[b, Q]`` at which their questions end."""
        mixture = Mixture(self.mixture)
        for index in range(len(self)):
            size = min(self.batch_size, self.n_samples - index * self.batch_size)
            key = (split_id("calibration"), zlib.crc32(b"mixture"), self.seq_len, index)
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
            batch = mixture.batch(rng, size, self.seq_len, READOUTS)
            ids = batch.input_ids
            if ids.max() >= self.vocab_size:
                raise ValueError(f"vocab_size: found {self.vocab_size}, but the tasks use token {ids.max()}")
            yield tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in (ids, batch.target_pos))


def build_calib_loader(
    n_samples: int = 128,
    seq_len: int = 1024,
    vocab_size: int = 4096,
    batch_size: int = 8,
    seed: int = 0,
    mixture: Mapping[str, float] | None = None,
) -> CalibrationLoader:
    """Return a re-iterable loader of calibration batches.

    Parameters
    ----------
    n_samples, seq_len : int
        Sequences in all and tokens of each. Sequences of at least two chunks are needed for statistics of the
        memory's read path.
    vocab_size : int
        Token ids the model knows; a larger id is an error.
    mixture : mapping, optional
        Task name to weight; `DEFAULT_MIXTURE` if None.
    """
    return CalibrationLoader(
        n_samples, seq_len, vocab_size, batch_size, seed, dict(mixture or DEFAULT_MIXTURE)
    )


def calibrate(
    model_path: str | Path,
    cfg: Mapping[str, Any],
    seed: int,
    output: str | Path,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Tensor]:
    """Stage entry point: statistics of the model at `model_path`, written to `output`.

    Parameters
    ----------
    cfg : mapping
        `n_samples`, `seq_len`, `batch_size` and `mixture`, all optional.
    """
    known = {"n_samples", "seq_len", "batch_size", "mixture"}
    if set(cfg) - known:
        raise ValueError(
            f"calibrate: unknown keys {sorted(set(cfg) - known)}, expected some of {sorted(known)}"
        )
    model = load_model(model_path, device=resolve_device(device))
    loader = build_calib_loader(vocab_size=model.cfg.vocab_size, seed=seed, **cfg)
    bar: Iterable[Tensor] = tqdm(loader, desc="calibrate", unit="batch", disable=not progress)
    statistics = collect_statistics(model, bar)
    write_statistics(
        output, statistics, {"seed": seed, "n_samples": loader.n_samples, "seq_len": loader.seq_len}
    )
    return statistics


def write_statistics(
    path: str | Path, statistics: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write statistics; second moments that layers share (one input, several layers) are stored once."""
    stored: dict[str, Tensor] = {}
    alias: dict[str, str] = {}
    first_of: dict[bytes, str] = {}
    for name, value in statistics.items():
        if name.endswith(f".{SECOND_MOMENT}"):
            leader = first_of.setdefault(value.numpy().tobytes(), name)
            if leader != name:
                alias[name] = leader
                continue
        stored[name] = value.clone()  # layers that read one input share their sums
    write_tensors(path, stored, {**(metadata or {}), "alias": alias})


def read_statistics(path: str | Path) -> dict[str, Tensor]:
    """Inverse of `write_statistics`."""
    stored, metadata = read_tensors(path)
    return {**stored, **{name: stored[leader] for name, leader in metadata.get("alias", {}).items()}}
