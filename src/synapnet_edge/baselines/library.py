"""The maintained implementations, imported only when a baseline is built."""

from __future__ import annotations

import importlib
from typing import Any


class BaselineUnavailable(RuntimeError):
    """The library that holds a baseline is not installed."""


def library(module: str) -> Any:
    """Import `transformers.models.<module>`.

    Raises
    ------
    BaselineUnavailable
        With the command that installs it.
    """
    try:
        return importlib.import_module(f"transformers.models.{module}")
    except ImportError as error:
        raise BaselineUnavailable(
            f"baselines need the package transformers ({error}); "
            "install it: pip install 'synapnet-edge[baselines]'"
        ) from error
