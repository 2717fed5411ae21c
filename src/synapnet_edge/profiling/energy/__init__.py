"""Energy sources, one file each, in the order in which they are tried."""

from __future__ import annotations

from synapnet_edge.profiling.energy import estimate, nvml, powermetrics, rapl
from synapnet_edge.profiling.energy.base import ENERGY_SOURCES, EnergySource, Meter, Reading

__all__ = ["ENERGY_SOURCES", "EnergySource", "Meter", "Reading"]

for _source in (powermetrics.PowerMetrics, nvml.NvmlEnergy, rapl.Rapl, estimate.RatedPower):
    ENERGY_SOURCES.add(_source.name, _source)
