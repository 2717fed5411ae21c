"""Clock and temperature while something runs, where the machine tells them."""

from __future__ import annotations

import contextlib

import psutil

from synapnet_edge.profiling.device import kind
from synapnet_edge.profiling.energy.nvml import Nvml, NvmlError

# Names under which Linux drivers report the processor's own temperature.
PROCESSOR_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")


class Sensors:
    """Readable sensors of the machine part that computes on `device`."""

    def __init__(self, device: str) -> None:
        self.gpu: Nvml | None = None
        self.device = device
        if kind(device) == "cuda":
            with contextlib.suppress(NvmlError, RuntimeError, AttributeError):
                self.gpu = Nvml(device)

    def read(self) -> dict[str, float]:
        """Name with unit -> value now; a sensor that cannot be read is absent."""
        if kind(self.device) == "cuda":
            return self._gpu() if self.gpu is not None else {}
        return _processor() if kind(self.device) in ("cpu", "mps") else {}

    def _gpu(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, read in (
            ("frequency_mhz", self.gpu.megahertz),
            ("temperature_celsius", self.gpu.celsius),
            ("power_watt", self.gpu.watts),
        ):
            with contextlib.suppress(NvmlError, AttributeError):
                found[name] = read()
        return found


def _processor() -> dict[str, float]:
    found: dict[str, float] = {}
    # What psutil raises where the kernel hides the clock differs between systems.
    with contextlib.suppress(OSError, RuntimeError, NotImplementedError, AttributeError, IndexError):
        frequency = psutil.cpu_freq()
        if frequency is not None and frequency.current > 0:
            found["frequency_mhz"] = float(frequency.current)
    temperatures = getattr(psutil, "sensors_temperatures", dict)()
    for name in PROCESSOR_SENSORS:
        if temperatures.get(name):
            found["temperature_celsius"] = max(float(sensor.current) for sensor in temperatures[name])
            break
    return found
