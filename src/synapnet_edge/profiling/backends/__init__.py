"""Backends that the deployment profile measures, one file each."""

from __future__ import annotations

from synapnet_edge.profiling.backends import packed, torch_float, torch_reference
from synapnet_edge.profiling.backends.base import BACKENDS, Arm, Backend, StreamSession, is_float

__all__ = ["BACKENDS", "Arm", "Backend", "StreamSession", "is_float"]

for _backend in (
    *(torch_float.FP32, torch_float.BF16, torch_float.FP16),
    *(torch_reference.REFERENCE, packed.FAST, packed.ONNX),
):
    BACKENDS.add(_backend.name, _backend)
