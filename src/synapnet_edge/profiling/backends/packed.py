"""The packed runtimes: low-bit weights computed as they lie in the file (`synapnet_edge.runtime`)."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from synapnet_edge.profiling.backends.base import Backend, StreamSession
from synapnet_edge.profiling.device import kind

NEEDS = {"fast": "numba", "onnx": "onnxruntime"}


class Packed(Backend):
    """A backend of the runtime, on the CPU.

    Parameters
    ----------
    name : "fast" or "onnx".
    """

    packed = True

    def __init__(self, name: str) -> None:
        self.name = name

    def takes(self, variant: str) -> bool:
        return True

    def missing(self, device: str) -> str | None:
        if kind(device) != "cpu":
            return f"backend {self.name} computes on the CPU only, not on {device}"
        if importlib.util.find_spec("synapnet_edge.runtime") is None:
            return "this version of the package has no packed runtime"
        needed = NEEDS[self.name]
        return None if importlib.util.find_spec(needed) else f"{needed} is not installed"

    def load(self, path: Path, device: str) -> StreamSession:
        runtime = importlib.import_module("synapnet_edge.runtime")
        model = runtime.load_model(path, backend=self.name)
        return StreamSession(model, device, model.cfg.vocab_size)


FAST = Packed("fast")
ONNX = Packed("onnx")
