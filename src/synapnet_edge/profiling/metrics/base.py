"""A metric: one thing that is measured for the arms of a tier. One file each, one registry line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from synapnet_edge.profiling.bench import Bench
from synapnet_edge.registry import Registry


@dataclass(frozen=True)
class Metric:
    """One measurement.

    Attributes
    ----------
    name : name in the configuration.
    measure : adds rows (and points over time) to a bench.
    description : one line for the documentation.
    """

    name: str
    measure: Callable[[Bench], None]
    description: str


METRICS: Registry[Metric] = Registry("deploy metric")
