"""Energy sources: what can be read about the energy of the work between two moments.

A source is measured by hardware or it is an estimate, and every reading says which. The meter takes the first
source of the registry that fits the device and answers on this machine; the estimate always does.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from synapnet_edge.registry import Registry

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """Energy of one stretch of work.

    Attributes
    ----------
    joule : energy [J].
    seconds : wall time of the stretch [s].
    method : how it was read, in words; an estimate's begins with "estimate".
    """

    joule: float
    seconds: float
    method: str

    @property
    def estimated(self) -> bool:
        return self.method.startswith("estimate")


class EnergySource(ABC):
    """One way to read energy. `missing` is asked before `start`; `stop` returns what was used since."""

    #: registered name
    name: str

    @classmethod
    def create(cls, rated_watts: float | None) -> EnergySource:
        """A source ready to be asked; only the estimate uses the rated power."""
        return cls()

    @abstractmethod
    def missing(self, device: str) -> str | None:
        """Why the source cannot read the energy of `device` here, in one line; None if it can."""

    @abstractmethod
    def start(self, device: str) -> None:
        """Begin a stretch of work on `device`."""

    @abstractmethod
    def stop(self) -> tuple[float, str]:
        """End the stretch: energy since `start` [J], and how it was read."""


ENERGY_SOURCES: Registry[type[EnergySource]] = Registry("energy source")


class Meter:
    """Reads the energy of a block of work: ``with Meter(...) as meter: ...``, then ``meter.reading``.

    Parameters
    ----------
    device : torch device that does the work.
    rated_watts : rated power of the processor [W], for the estimate; None = no estimate.
    sources : names to try in this order; default: all registered ones, the estimate last.

    Raises
    ------
    ValueError : no source reads the device here.
    """

    def __init__(self, device: str, rated_watts: float | None, sources: tuple[str, ...] = ()) -> None:
        self.device = device
        self.skipped: dict[str, str] = {}
        self.reading: Reading | None = None
        for name in sources or ENERGY_SOURCES.names():
            source = ENERGY_SOURCES.get(name).create(rated_watts)
            reason = source.missing(device)
            if reason is None:
                self.source = source
                return
            self.skipped[name] = reason
        raise ValueError(f"energy sources: none of {sources} reads {device}: {self.skipped}")

    def __enter__(self) -> Meter:
        self._started = time.perf_counter()
        self.source.start(self.device)
        return self

    def __exit__(self, *failure: object) -> None:
        joule, method = self.source.stop()
        if failure[0] is None:
            self.reading = Reading(joule, time.perf_counter() - self._started, method)
