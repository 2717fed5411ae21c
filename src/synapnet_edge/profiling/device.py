"""Any torch device by name: is it there, when is its work done, how much memory does it hold."""

from __future__ import annotations

import os
from types import ModuleType

import torch


def usable_cores() -> int:
    """CPU cores this process may run on (affinity, not the number built in)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def kind(device: str) -> str:
    """Type of a device name: "cuda:1" -> "cuda".

    Raises
    ------
    ValueError : torch knows no such device.
    """
    try:
        return torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"expected a torch device, got {device!r} ({str(error).splitlines()[0]})") from error


def missing(device: str) -> str | None:
    """Why torch cannot compute on `device` here, in one line; None if it can."""
    name = kind(device)
    if name == "cpu":
        return None
    if name == "cuda" and not torch.cuda.is_available():
        return "no CUDA device is visible to torch"
    if name == "mps" and not torch.backends.mps.is_available():
        return "torch finds no Apple Metal (MPS) device"
    module = _module(name)
    if module is None or not getattr(module, "is_available", lambda: False)():
        return f"torch finds no {name} device"
    index = torch.device(device).index
    count = getattr(module, "device_count", lambda: 1)()
    if index is not None and index >= count:
        return f"torch finds {count} {name} device{'s' if count != 1 else ''}, none with index {index}"
    return None


def synchronise(device: str) -> None:
    """Wait until the device has done all queued work (no-op on CPU)."""
    name = kind(device)
    if name == "cpu":
        return
    module = _module(name)
    if name == "mps":
        module.synchronize()
    else:
        module.synchronize(torch.device(device))


def label(device: str) -> str | None:
    """Product name of an accelerator where torch tells it; None for the CPU (see `machine_info`)."""
    name = kind(device)
    if name == "cpu" or missing(device) is not None:
        return None
    get = getattr(_module(name), "get_device_name", None)
    return str(get(torch.device(device))) if get else name


def counts_allocations(device: str) -> bool:
    """Whether the device's allocator tells the bytes it holds and held at most (CUDA, XPU)."""
    module = _module(kind(device))
    return module is not None and hasattr(module, "max_memory_allocated")


def allocated_bytes(device: str) -> int:
    """Bytes of live tensors on the device, as its allocator counts them."""
    return int(_module(kind(device)).memory_allocated(torch.device(device)))


def peak_allocated_bytes(device: str) -> int:
    """Largest `allocated_bytes` since `reset_peak`."""
    return int(_module(kind(device)).max_memory_allocated(torch.device(device)))


def reset_peak(device: str) -> None:
    """Start a new peak of `peak_allocated_bytes`."""
    _module(kind(device)).reset_peak_memory_stats(torch.device(device))


def release(device: str) -> None:
    """Give cached free memory of the device back, so that a later reading shows what is in use."""
    empty = getattr(_module(kind(device)), "empty_cache", None)
    if empty is not None:
        empty()


def _module(name: str) -> ModuleType | None:
    """torch's module of a device type (torch.cuda, torch.mps, torch.xpu, ...); None for the CPU."""
    return None if name == "cpu" else getattr(torch, name, None)
