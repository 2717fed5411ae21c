"""Deployment tiers: what a tier means, and whether this machine has it.

A tier is always the machine that runs the measurement. One thread of a fast core is called ``cpu_single``
and nothing else: it stands for no other device.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

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
    device : torch device type.
    single_thread : True when the tier is defined by one CPU thread.
    description : one line for the report.
    """

    name: str
    device: str
    single_thread: bool
    description: str

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda", "mps"):
            raise ValueError(f"tier {self.name!r}: expected device cpu, cuda or mps, got {self.device!r}")

    def missing(self) -> str | None:
        """Why this machine lacks the tier, or None when it has it."""
        if self.device == "cuda" and not torch.cuda.is_available():
            return "no CUDA device is visible to torch"
        if self.device == "mps" and not torch.backends.mps.is_available():
            return "torch finds no Apple Metal (MPS) device"
        if self.device == "cpu" and not self.single_thread and usable_cores() < 2:
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


def usable_cores() -> int:
    """CPU cores this process may run on (affinity, not the number built in)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available(tier: str) -> str | None:
    """None when this machine can measure `tier`, else the reason in one line."""
    return TIERS.get(tier).missing()


def require(tier: str) -> Tier:
    """Return the tier, or raise `TierUnavailable` with the reason."""
    found = TIERS.get(tier)
    reason = found.missing()
    if reason is not None:
        raise TierUnavailable(f"tier {tier}: {reason}")
    return found


for _tier in (
    Tier("cpu_multi", "cpu", False, "all usable CPU cores"),
    Tier("cpu_single", "cpu", True, "one CPU thread of this machine"),
    Tier("cuda", "cuda", False, "the first CUDA device"),
    Tier("apple_silicon_mps", "mps", False, "the GPU of an Apple Silicon machine through Metal"),
):
    TIERS.add(_tier.name, _tier)
