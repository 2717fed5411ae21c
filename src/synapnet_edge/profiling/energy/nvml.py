"""Energy counter of NVIDIA GPUs, read from the driver's management library (NVML) without a package."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time

import torch

from synapnet_edge.profiling.device import kind
from synapnet_edge.profiling.energy.base import EnergySource

LIBRARIES = ("libnvidia-ml.so.1", "nvml.dll")
POLL_SECONDS = 0.05


class NvmlError(RuntimeError):
    """A call of the management library failed."""


class Nvml:
    """The few calls of the management library that are needed here.

    Raises
    ------
    NvmlError : the library is not there, or the device is not found.
    """

    def __init__(self, device: str) -> None:
        self.library = _load()
        self._call("nvmlInit_v2")
        self.handle = ctypes.c_void_p()
        self._find(torch.device(device))

    def _find(self, device: torch.device) -> None:
        """Torch counts visible devices only, so the card is looked up by its UUID; else by its index."""
        uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
        if uuid:
            name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
            with contextlib.suppress(NvmlError):
                return self._call("nvmlDeviceGetHandleByUUID", name.encode(), ctypes.byref(self.handle))
        self._call("nvmlDeviceGetHandleByIndex_v2", device.index or 0, ctypes.byref(self.handle))

    def joule(self) -> float:
        """Energy since the driver was loaded [J]; Volta and later."""
        value = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self.handle, ctypes.byref(value))
        return value.value / 1e3

    def watts(self) -> float:
        """Power drawn now [W]."""
        return self._unsigned("nvmlDeviceGetPowerUsage") / 1e3

    def celsius(self) -> float:
        """Temperature of the GPU."""
        return float(self._unsigned("nvmlDeviceGetTemperature", 0))

    def megahertz(self) -> float:
        """Clock of the multiprocessors now [MHz]."""
        return float(self._unsigned("nvmlDeviceGetClockInfo", 1))

    def _unsigned(self, name: str, *arguments: int) -> int:
        value = ctypes.c_uint()
        self._call(name, self.handle, *arguments, ctypes.byref(value))
        return value.value

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            raise NvmlError(f"{name} returned {status}")


def _load() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise NvmlError(f"none of {', '.join(LIBRARIES)} is installed")


class NvmlEnergy(EnergySource):
    """Energy of one GPU board: its counter, or its power sampled every 50 ms where there is no counter."""

    name = "nvml"

    def missing(self, device: str) -> str | None:
        if kind(device) != "cuda":
            return f"reads NVIDIA GPUs, not {device}"
        try:
            self.gpu = Nvml(device)
            self.gpu.watts()
        except (NvmlError, RuntimeError, AttributeError) as error:
            return f"NVML: {error}"
        return None

    def start(self, device: str) -> None:
        self._sampler = None
        try:
            self._before = self.gpu.joule()
        except (NvmlError, AttributeError):
            self._sampler = _PowerSampler(self.gpu)

    def stop(self) -> tuple[float, str]:
        if self._sampler is None:
            return self.gpu.joule() - self._before, "NVML energy counter of the GPU board"
        return self._sampler.stop(), f"NVML power of the GPU board, sampled every {POLL_SECONDS:g} s"


class _PowerSampler:
    """Integrates the power of a GPU in a thread."""

    def __init__(self, gpu: Nvml) -> None:
        self.gpu, self.joule, self._done = gpu, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._done.wait(POLL_SECONDS):
            now = time.perf_counter()
            self.joule += self.gpu.watts() * (now - last)
            last = now

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return self.joule
