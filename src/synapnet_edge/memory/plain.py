"""Running without the caller's modes: arrays of a store live longer than any of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])
_DEVICES = ("cpu", "cuda", "mps")


def plain_tensors(method: F) -> F:
    """Decorate a method so that it runs without autograd, inference mode and autocast."""

    @wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        # A round takes some hundred microseconds: none of them is spent on leaving modes that are not on.
        if not torch.is_inference_mode_enabled() and not any(map(torch.is_autocast_enabled, _DEVICES)):
            with torch.no_grad():
                return method(*args, **kwargs)
        with contextlib.ExitStack() as modes:
            modes.enter_context(torch.inference_mode(False))
            modes.enter_context(torch.no_grad())
            for device in _DEVICES:
                if torch.is_autocast_enabled(device):
                    modes.enter_context(torch.autocast(device, enabled=False))
            return method(*args, **kwargs)

    return wrapped  # type: ignore[return-value]
