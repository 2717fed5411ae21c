"""The packed runtimes: low-bit weights computed as they lie in the file (`synapnet_edge.runtime`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from synapnet_edge.profiling.backends.base import Backend, StreamSession
from synapnet_edge.profiling.device import kind
from synapnet_edge.profiling.stored import is_baseline

NEEDS = {"fast": "numba", "onnx": "onnxruntime"}


class PackedSession(StreamSession):
    """A session of the runtime. Its states hold addresses of their own memory and are not copied."""

    forks = False

    def fork(self, state: Any) -> Any:
        raise TypeError("a state of a compiled backend cannot be copied; read the prompt again")

    def parameter_bytes(self) -> int:
        return int(self.model.weight_bytes())


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

    def reads(self, path: Path) -> bool:
        return not is_baseline(path)

    def missing(self, device: str) -> str | None:
        if kind(device) != "cpu":
            return f"backend {self.name} computes on the CPU only, not on {device}"
        from synapnet_edge.runtime import BACKENDS

        if self.name not in BACKENDS:
            return f"this version of the runtime has no backend {self.name}"
        needed = NEEDS[self.name]
        return None if importlib.util.find_spec(needed) else f"{needed} is not installed"

    def load(self, path: Path, device: str, threads: int) -> StreamSession:
        from synapnet_edge.runtime import load_model

        model = load_model(path, self.name, threads=threads)
        return PackedSession(model, device, model.cfg.vocab_size)


FAST = Packed("fast")
ONNX = Packed("onnx")
