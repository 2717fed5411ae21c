"""Rated power times wall time: no measurement, and every row says so."""

from __future__ import annotations

import time

from synapnet_edge.profiling.energy.base import EnergySource


class RatedPower(EnergySource):
    """Estimate: the processor is taken to draw its rated power all the time.

    Parameters
    ----------
    watts : rated power [W]; comes from the configuration, since no machine tells its own. None: unknown.
    """

    name = "estimate"

    def __init__(self, watts: float | None) -> None:
        if watts is not None and watts <= 0:
            raise ValueError(f"rated power: expected > 0 W, got {watts}")
        self.watts = watts

    @classmethod
    def create(cls, rated_watts: float | None) -> RatedPower:
        return cls(rated_watts)

    def missing(self, device: str) -> str | None:
        return "the configuration tells no rated power" if self.watts is None else None

    def start(self, device: str) -> None:
        self._started = time.perf_counter()

    def stop(self) -> tuple[float, str]:
        seconds = time.perf_counter() - self._started
        return self.watts * seconds, f"estimate: {self.watts:g} W rated power x wall time, nothing measured"
