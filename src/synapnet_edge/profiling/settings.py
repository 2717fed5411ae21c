"""What a tier measures: the `deploy` section of the configuration as a checked dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

LISTS = ("contexts", "rss_contexts", "dense_lengths", "pieces")


@dataclass(frozen=True)
class DeployConfig:
    """Sizes of the measurements; the defaults cost a few minutes for a reference-size model.

    Attributes
    ----------
    devices : further tiers: name -> torch device.
    backends : names of the backends, in the order of their rows; those that cannot compute a variant or do
        not exist on the tier are left out.
    metrics : names of the metrics to measure.
    contexts : prompt lengths [tokens] of prefill; decoding starts after each.
    chunk_size : tokens per streamed piece.
    pieces : piece sizes [tokens] that are compared with each other.
    decode_tokens : tokens decoded one by one after each context.
    repeats : timed rounds over all arms, at least 3.
    detail_variants : variants whose process memory and sustained speed are measured; () = all.
    rss_contexts : prompt lengths at which a fresh process is read; the process streams to the longest.
    rss_repeats : rounds of fresh processes, at least 3.
    sustained_seconds : wall time of the sustained run of one arm [s].
    sustained_window : window of its first and last speed [s].
    dense_lengths : lengths [tokens] of the same-shape dense model's pass.
    rated_watts : device type -> rated power [W] for the energy estimate, where nothing can be read.
    seed : seed of the random token ids.
    """

    devices: Mapping[str, str] = field(default_factory=dict)
    backends: tuple[str, ...] = ("torch-fp32", "torch-bf16", "torch-reference", "fast", "onnx")
    metrics: tuple[str, ...] = ("sizes", "speed")
    contexts: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)
    chunk_size: int = 512
    pieces: tuple[int, ...] = (128, 512)
    decode_tokens: int = 128
    repeats: int = 3
    detail_variants: tuple[str, ...] = ()
    rss_contexts: tuple[int, ...] = (512, 2048)
    rss_repeats: int = 3
    sustained_seconds: float = 10.0
    sustained_window: float = 5.0
    dense_lengths: tuple[int, ...] = (1024,)
    rated_watts: Mapping[str, float] = field(default_factory=lambda: {"cpu": 15.0})
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (*LISTS, "backends", "metrics", "detail_variants"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in LISTS:
            if any(not isinstance(c, int) or c < 1 for c in getattr(self, name)):
                raise ValueError(f"deploy.{name}: expected integers >= 1, got {getattr(self, name)!r}")
        for name in ("contexts", "backends", "metrics"):
            if not getattr(self, name):
                raise ValueError(f"deploy.{name}: expected at least one, got none")
        for name in ("chunk_size", "decode_tokens", "sustained_seconds", "sustained_window"):
            if getattr(self, name) <= 0:
                raise ValueError(f"deploy.{name}: expected > 0, got {getattr(self, name)}")
        for name in ("repeats", "rss_repeats"):
            if getattr(self, name) < 3:
                raise ValueError(f"deploy.{name}: expected >= 3, got {getattr(self, name)}")
        if self.sustained_seconds < 2 * self.sustained_window:
            raise ValueError(
                f"deploy.sustained_seconds: expected at least two windows of {self.sustained_window} s, "
                f"got {self.sustained_seconds}"
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DeployConfig:
        """Take the known keys of a configuration section; its other keys belong to the stage."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def watts(self, kind: str) -> float | None:
        """Rated power of a device type [W]; None if the configuration tells none."""
        return self.rated_watts.get(kind)
