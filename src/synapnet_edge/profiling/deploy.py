"""The deployment profile of one tier: speed, file size and process memory of every variant.

The backend measured here is the PyTorch reference: stored low-bit weights are dequantised when the model is
loaded. Its speed and its memory are those of a float model, whatever the file holds; `METHOD_REFERENCE`
says so in every such row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from synapnet_edge.profiling.memory import baseline_rss_bytes, probe_model
from synapnet_edge.profiling.stream import decode, load_for, parameter_bytes, prefill, random_ids
from synapnet_edge.profiling.tiers import Tier, require
from synapnet_edge.profiling.timing import interleave, median_interval, timed

COLUMNS = (
    *("tier", "model", "variant", "backend", "threads", "context", "metric"),
    *("value", "unit", "ci_low", "ci_high", "repeats", "method"),
)
FLOAT_VARIANTS = ("fp16", "fp16_ft")
FLOAT_BACKENDS = {"torch-fp32": "float32", "torch-bf16": "bfloat16"}
REFERENCE_BACKEND = "torch-reference"
METHOD_REFERENCE = "weights dequantised to float32 at load: not the speed or memory of packed inference"


@dataclass(frozen=True)
class DeployConfig:
    """What a tier measures; the defaults cost a few minutes for a reference-size model.

    Attributes
    ----------
    contexts : prompt lengths [tokens] for prefill; decoding starts after each.
    chunk_size : tokens per streamed piece.
    decode_tokens : tokens decoded per repeat.
    repeats : timed rounds over all arms, at least 3.
    rss_contexts : prompt lengths of the memory probes, each in a fresh process.
    rss_repeats : rounds of fresh processes.
    seed : seed of the random token ids.
    """

    contexts: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)
    chunk_size: int = 512
    decode_tokens: int = 16
    repeats: int = 3
    rss_contexts: tuple[int, ...] = (2048,)
    rss_repeats: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("contexts", "rss_contexts"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if any(not isinstance(c, int) or c < 1 for c in getattr(self, name)):
                raise ValueError(f"deploy.{name}: expected integers >= 1, got {getattr(self, name)!r}")
        if not self.contexts:
            raise ValueError("deploy.contexts: expected at least one length, got none")
        for name in ("chunk_size", "decode_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"deploy.{name}: expected >= 1, got {getattr(self, name)}")
        for name in ("repeats", "rss_repeats"):
            if getattr(self, name) < 3:
                raise ValueError(f"deploy.{name}: expected >= 3, got {getattr(self, name)}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DeployConfig:
        """Take the known keys of a configuration section; its other keys belong to the stage."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


@dataclass(frozen=True)
class Arm:
    """One variant computed one way."""

    variant: str
    backend: str
    dtype: str
    path: Path = field(compare=False)

    @property
    def key(self) -> str:
        return f"{self.variant}/{self.backend}"


def arms_of(model_paths: Mapping[str, Path]) -> list[Arm]:
    """Float variants in both float types, every other variant through the dequantising reference."""
    arms = []
    for variant, path in model_paths.items():
        if variant in FLOAT_VARIANTS:
            arms += [Arm(variant, backend, dtype, Path(path)) for backend, dtype in FLOAT_BACKENDS.items()]
        else:
            arms.append(Arm(variant, REFERENCE_BACKEND, "float32", Path(path)))
    return arms


def empty_table() -> pd.DataFrame:
    """A deploy table without measurements, for a tier that this machine lacks."""
    return pd.DataFrame(columns=list(COLUMNS))


def profile_tier(
    tier: str, model_paths: Mapping[str, Path], cfg: Mapping[str, Any], model_name: str, threads: int
) -> dict[str, pd.DataFrame]:
    """Measure every variant on one tier, arms interleaved.

    Parameters
    ----------
    tier : registered tier name.
    model_paths : variant -> stored model.
    cfg : the `deploy` section, see `DeployConfig`.
    model_name : value of the `model` column.
    threads : CPU threads granted; the table records those really used.

    Returns
    -------
    variant -> deploy table.

    Raises
    ------
    TierUnavailable : the machine lacks the tier (one line says why).
    """
    place = require(tier)
    settings = DeployConfig.from_mapping(cfg)
    used = place.threads(threads)
    arms = arms_of(model_paths)
    before = torch.get_num_threads()
    torch.set_num_threads(used)
    try:
        used = torch.get_num_threads()
        rows = [*_speed_rows(arms, place, settings)]
        rows += [*_memory_rows(arms, place, settings, used)]
    finally:
        torch.set_num_threads(before)
    common = {"tier": tier, "model": model_name, "threads": used}
    table = pd.DataFrame([common | row for row in rows], columns=list(COLUMNS))
    return {v: table[table["variant"] == v].reset_index(drop=True) for v in model_paths}


def _speed_rows(arms: list[Arm], place: Tier, settings: DeployConfig) -> Iterable[dict[str, Any]]:
    """Prefill and decode tokens per second at every context, plus the bytes of the loaded model."""
    models = {arm.key: load_for(arm.path, arm.dtype, place.device) for arm in arms}
    for arm in arms:
        size = parameter_bytes(models[arm.key])
        yield _row(arm, 0, "parameter_bytes", "B", [size], "parameters and buffers after loading")
        yield _row(arm, 0, "file_bytes", "B", [arm.path.stat().st_size], "size of the stored file")
    longest = max(settings.contexts) + settings.decode_tokens
    ids = {
        key: random_ids(model.cfg.vocab_size, longest, settings.seed, place.device)
        for key, model in models.items()
    }
    for key in models:  # first calls build thread pools and kernel caches
        _measure(models, ids, min(settings.contexts), place, settings, key)
    for context in sorted(settings.contexts):
        measure = partial(_measure, models, ids, context, place, settings)
        found = interleave(list(models), settings.repeats, measure)
        for arm in arms:
            for metric, samples in found[arm.key].items():
                yield _row(arm, context, metric, "token/s", samples, _speed_method(metric, settings))


def _measure(
    models: Mapping[str, torch.nn.Module],
    ids: Mapping[str, torch.Tensor],
    context: int,
    place: Tier,
    settings: DeployConfig,
    key: str,
) -> dict[str, float]:
    """One prefill of `context` tokens by arm `key` and the decoding after it, both in tokens per second."""
    model, stream = models[key], ids[key]
    state, seconds = timed(lambda: prefill(model, stream[:, :context], settings.chunk_size), place.device)
    following = stream[:, context : context + settings.decode_tokens]
    _, decode_seconds = timed(lambda: decode(model, following, state), place.device)
    return {
        "prefill_tokens_per_second": context / seconds,
        "decode_tokens_per_second": settings.decode_tokens / decode_seconds,
    }


def _memory_rows(
    arms: list[Arm], place: Tier, settings: DeployConfig, threads: int
) -> Iterable[dict[str, Any]]:
    """Resident memory of fresh processes, and of an empty interpreter beside them."""
    if not settings.rss_contexts:
        return
    by_key = {arm.key: arm for arm in arms}
    baseline = [baseline_rss_bytes(threads) for _ in range(settings.rss_repeats)]
    for context in sorted(settings.rss_contexts):
        probe = partial(_probe, by_key, context, place, settings, threads)
        found = interleave(list(by_key), settings.rss_repeats, probe)
        for arm in arms:
            for metric, samples in found[arm.key].items():
                yield _row(arm, context, metric, "B", samples, _MEMORY_METHODS[metric])
    for arm in arms:
        yield _row(arm, 0, "baseline_rss_bytes", "B", baseline, "fresh interpreter with torch imported")


def _probe(
    by_key: Mapping[str, Arm], context: int, place: Tier, settings: DeployConfig, threads: int, key: str
) -> dict[str, float]:
    arm = by_key[key]
    return probe_model(
        arm.path,
        context,
        dtype=arm.dtype,
        device=place.device,
        chunk_size=settings.chunk_size,
        threads=threads,
    )


_MEMORY_METHODS = {
    "loaded_rss_bytes": "RSS of a fresh process after loading",
    "steady_rss_bytes": "RSS of a fresh process at the end of a stream",
    "peak_rss_bytes": "largest RSS in the life of a fresh process, loading included",
}


def _speed_method(metric: str, settings: DeployConfig) -> str:
    if metric.startswith("prefill"):
        return f"batch 1, pieces of {settings.chunk_size} tokens, interleaved arms"
    return f"batch 1, {settings.decode_tokens} single-token steps after the context, interleaved arms"


def _row(arm: Arm, context: int, metric: str, unit: str, samples: list[float], method: str) -> dict[str, Any]:
    interval = median_interval(samples)
    if len(samples) > 1:
        method += f"; median, interval covers it with {100 * interval.coverage:.0f} %"
    if arm.backend == REFERENCE_BACKEND and metric not in ("file_bytes", "baseline_rss_bytes"):
        method += f"; {METHOD_REFERENCE}"
    return {
        "variant": arm.variant,
        "backend": arm.backend,
        "context": context,
        "metric": metric,
        "value": interval.median,
        "unit": unit,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "repeats": interval.repeats,
        "method": method,
    }
