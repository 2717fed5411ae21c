"""Importing the compiled kernels of an eviction round."""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType

from synapnet_edge import kernel_cache

_COMPILED = ["addresses", "admission", "classifier", "encoding", "entry_points", "reading", "selection"]


@functools.cache
def load_kernels() -> ModuleType:
    """The module `entry_points`, compiled for this processor."""
    from synapnet_edge import simd, simd_code, simd_tiles

    shared = [Path(module.__file__) for module in (simd, simd_code, simd_tiles)]
    sources = [*shared, *(Path(__file__).with_name(f"{module}.py") for module in _COMPILED)]
    with kernel_cache.compiled("memory", sources, wait="about 10 s"):
        from synapnet_edge.memory.compiled import entry_points
    return entry_points
