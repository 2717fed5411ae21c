"""Importing the compiled kernels of a step."""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType

from synapnet_edge import kernel_cache
from synapnet_edge.runtime.session import BackendUnavailable

_MISSING = "backend 'fast' needs numba, which is not installed: pip install numba ({error})"
_COMPILED = [
    "answer",
    "calls",
    "dots",
    "embed",
    "isa",
    "lookup",
    "products",
    "remember",
    "stages",
    "step",
    "table",
]


@functools.cache
def load_kernels() -> ModuleType:
    """The module of entry points (`step`), compiled for this processor.

    Raises
    ------
    BackendUnavailable
        If Numba is not installed.
    """
    try:
        import numba  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(_MISSING.format(error=error)) from error
    from synapnet_edge import simd, simd_code, simd_tiles
    from synapnet_edge.runtime.fast.isa import ISA

    shared = [Path(module.__file__) for module in (simd, simd_code, simd_tiles)]
    sources = [*shared, *(Path(__file__).with_name(f"{module}.py") for module in _COMPILED)]
    # What can be a vector already is one.
    with kernel_cache.compiled(ISA, sources, wait="10 to 20 s", LOOP_VECTORIZE=0, SLP_VECTORIZE=0):
        from synapnet_edge.runtime.fast import step
    return step
