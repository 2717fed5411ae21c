"""Plain PyTorch with low-bit weights dequantised at load: the oracle, not a way to run packed weights."""

from __future__ import annotations

import torch

from synapnet_edge.profiling.backends.base import is_float
from synapnet_edge.profiling.backends.torch_float import TorchFloat


class TorchReference(TorchFloat):
    """Float32 PyTorch on the values of the low-bit weights."""

    note = "weights dequantised to float32 at load: not the speed or memory of packed inference"

    def takes(self, variant: str) -> bool:
        return not is_float(variant)


REFERENCE = TorchReference("torch-reference", torch.float32)
