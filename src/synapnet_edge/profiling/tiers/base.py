"""Deployment tiers: what a tier means, and whether this machine has it.

A tier is always the machine that runs the measurement. One thread of a fast core is called ``cpu_single``
and nothing else: it stands for no other device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synapnet_edge.profiling import device as devices
from synapnet_edge.profiling.device import usable_cores
from synapnet_edge.registry import Registry

TIERS: Registry[Tier] = Registry("deployment tier")


class TierUnavailable(RuntimeError):
    """This machine cannot measure the tier; the message is one line with the reason."""


@dataclass(frozen=True)
class Tier:
    """A place where a model runs.

    Attributes
    ----------
    name : registered name, also the folder name of its tables.
    device : torch device, with or without an index ("cpu", "cuda", "xpu:1").
    single_thread : True when the tier is defined by one CPU thread.
    description : one line for the report.
    """

    name: str
    device: str
    single_thread: bool
    description: str

    def __post_init__(self) -> None:
        try:
            devices.kind(self.device)
        except ValueError as error:
            raise ValueError(f"tier {self.name!r}: {error}") from error

    def missing(self) -> str | None:
        """Why this machine lacks the tier, or None when it has it."""
        if devices.kind(self.device) != "cpu":
            return devices.missing(self.device)
        if not self.single_thread and usable_cores() < 2:
            return "only one CPU core is usable, so this tier would equal cpu_single"
        return None

    def threads(self, granted: int) -> int:
        """CPU threads to compute with, at most `granted`.

        Raises
        ------
        TierUnavailable : a multi-thread tier was granted a single thread.
        """
        if granted < 1:
            raise ValueError(f"tier {self.name!r}: expected threads >= 1, got {granted}")
        if self.single_thread:
            return 1
        count = min(granted, usable_cores())
        if self.device == "cpu" and count < 2:
            raise TierUnavailable(f"tier {self.name}: needs at least 2 threads, was granted {granted}")
        return count


def find(tier: str, extra: Mapping[str, str] | None = None) -> Tier:
    """The registered tier, or one that a configuration defines as name -> torch device."""
    if extra and tier in extra:
        return Tier(tier, extra[tier], False, f"torch device {extra[tier]}, named in the configuration")
    return TIERS.get(tier)


def available(tier: str, extra: Mapping[str, str] | None = None) -> str | None:
    """None when this machine can measure `tier`, else the reason in one line."""
    return find(tier, extra).missing()


def require(tier: str, extra: Mapping[str, str] | None = None) -> Tier:
    """Return the tier, or raise `TierUnavailable` with the reason."""
    found = find(tier, extra)
    reason = found.missing()
    if reason is not None:
        raise TierUnavailable(f"tier {tier}: {reason}")
    return found
