"""One tier's measurement in progress: its arms, their loaded models, and the rows found so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synapnet_edge.artifacts import ArtifactError
from synapnet_edge.profiling.backends import BACKENDS, Arm, StreamSession
from synapnet_edge.profiling.settings import DeployConfig
from synapnet_edge.profiling.tiers import Tier
from synapnet_edge.profiling.timing import median_interval

COLUMNS = (
    *("tier", "model", "variant", "backend", "threads", "context", "metric"),
    *("value", "unit", "ci_low", "ci_high", "repeats", "method"),
)
TRACE_COLUMNS = ("tier", "model", "variant", "backend", "series", "seconds", "value", "unit")


@dataclass
class Bench:
    """What every metric gets.

    Attributes
    ----------
    model : value of the `model` column.
    tier, threads, settings : where and how to measure.
    arms : variants x backends that exist here, in the order of their rows.
    skipped : "variant/backend" or a metric's part -> why it was not measured, in one line.
    rows, trace : what was found; see `add` and `mark`.
    """

    model: str
    tier: Tier
    threads: int
    settings: DeployConfig
    arms: list[Arm]
    skipped: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    shared: dict[str, Any] = field(default_factory=dict)  # readings that several metrics use
    _sessions: dict[str, StreamSession] = field(default_factory=dict)

    @property
    def device(self) -> str:
        return self.tier.device

    def session(self, arm: Arm) -> StreamSession:
        """The arm's loaded model; loaded once."""
        if arm.key not in self._sessions:
            self._sessions[arm.key] = arm.backend.load(arm.path, self.device, self.threads)
        return self._sessions[arm.key]

    def load_arms(self) -> None:
        """Load every arm; one that its backend refuses (a width or group it has no kernel for) is left out.

        What it said stands in `skipped`, so that one unsupported file does not cost the tier's measurement.
        """
        loaded = []
        for arm in self.arms:
            try:
                self.session(arm)
            except ArtifactError:
                raise  # a damaged file is no matter of the backend
            except ValueError as error:
                self.skipped[arm.key] = f"refused by the backend: {str(error).splitlines()[0]}"
            else:
                loaded.append(arm)
        self.arms = loaded

    def detailed(self) -> list[Arm]:
        """The arms whose memory and sustained speed are measured."""
        wanted = self.settings.detail_variants
        return [arm for arm in self.arms if not wanted or arm.variant in wanted]

    def ids(self, session: StreamSession, length: int) -> Any:
        """Uniform token ids where the session reads them; speed depends on their number, not on which."""
        drawn = np.random.default_rng(self.settings.seed).integers(0, session.vocab_size, size=length)
        return session.place(drawn)

    def add(
        self,
        arm: Arm | tuple[str, str],
        context: int,
        metric: str,
        unit: str,
        samples: Sequence[float],
        method: str,
    ) -> None:
        """Add the row of one metric: median and interval of `samples`.

        `arm` is an arm, or (variant, backend) of something that is no stored model.
        """
        variant, backend = (arm.variant, arm.backend.name) if isinstance(arm, Arm) else arm
        interval = median_interval(samples)
        if len(samples) > 1:
            method += f"; median, interval covers it with {100 * interval.coverage:.0f} %"
        note = arm.backend.note if isinstance(arm, Arm) else ""
        if note and metric not in _OF_THE_FILE:
            method += f"; {note}"
        self.rows.append(
            {"tier": self.tier.name, "model": self.model, "variant": variant, "backend": backend}
            | {"threads": self.threads, "context": context, "metric": metric, "value": interval.median}
            | {"unit": unit, "ci_low": interval.low, "ci_high": interval.high}
            | {"repeats": interval.repeats, "method": method}
        )

    def mark(self, arm: Arm, series: str, seconds: float, value: float, unit: str) -> None:
        """Add one point of a curve over time."""
        self.trace.append(
            {"tier": self.tier.name, "model": self.model, "variant": arm.variant}
            | {"backend": arm.backend.name, "series": series, "seconds": seconds, "value": value}
            | {"unit": unit}
        )


_OF_THE_FILE = ("file_bytes", "baseline_rss_bytes")


def arms_of(
    model_paths: Mapping[str, Path], backends: Sequence[str], device: str
) -> tuple[list[Arm], dict[str, str]]:
    """Every variant with every backend that takes it, and why others are left out."""
    arms, skipped = [], {}
    for name in backends:
        backend = BACKENDS.get(name)
        reason = backend.missing(device)
        if reason is not None:
            skipped[name] = reason
    for variant, path in model_paths.items():
        for name in backends:
            backend = BACKENDS.get(name)
            if name in skipped or not backend.takes(variant):
                continue
            if backend.reads(Path(path)):
                arms.append(Arm(variant, backend, Path(path)))
            else:
                skipped[f"{variant}/{name}"] = "the backend does not compute models of this kind"
    return arms, skipped
