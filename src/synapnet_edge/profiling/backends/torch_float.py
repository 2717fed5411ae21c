"""Plain PyTorch in a float type: how an FP16 file is computed when nothing is packed."""

from __future__ import annotations

from pathlib import Path

import torch

from synapnet_edge.profiling.backends.base import Backend, StreamSession, is_float
from synapnet_edge.profiling.device import missing


class TorchFloat(Backend):
    """Eager PyTorch with weights and states in one float type.

    Parameters
    ----------
    name : "torch-<type>".
    dtype : compute type.
    """

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name, self.dtype = name, dtype

    def takes(self, variant: str) -> bool:
        return is_float(variant)

    def missing(self, device: str) -> str | None:
        return missing(device)

    def load(self, path: Path, device: str, threads: int) -> StreamSession:
        from synapnet_edge.baselines.files import load_any

        model = load_any(path, device, self.dtype)
        return StreamSession(model, device, model.cfg.vocab_size)


FP32 = TorchFloat("torch-fp32", torch.float32)
BF16 = TorchFloat("torch-bf16", torch.bfloat16)
FP16 = TorchFloat("torch-fp16", torch.float16)
