"""What is compared: each arm decodes one token, or reads one chunk, at a given context."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synapnet_edge.runtime.load import BACKENDS, load_model
from synapnet_edge.runtime.session import BackendUnavailable, Session

#: Arms that compute with float weights: the speed of a packed arm is stated against the best of them.
FLOAT_ARMS = ("torch-fp32", "torch-bf16", "ort-fp32")


class Arm(ABC):
    """One way to run the model. `prepare` goes to a context; `decode` and `chunk` then take their time."""

    name: str
    #: Bytes of weights it keeps, if it can tell.
    weight_bytes: int | None = None

    @abstractmethod
    def prepare(self, context: int) -> None:
        """Read `context` tokens."""

    @abstractmethod
    def decode(self, tokens: int) -> None:
        """Read so many tokens one by one, with logits after each."""

    @abstractmethod
    def chunk(self) -> None:
        """Read one chunk of tokens, with logits after the last."""

    def align(self) -> None:  # noqa: B027 (optional)
        """Finish an open chunk, so that `chunk` reads a whole one."""


class ModelArm(Arm):
    """Anything with the model's interface."""

    def __init__(self, name: str, model: Any, ids: Tensor, chunk_len: int) -> None:
        self.name, self.model, self.ids, self.chunk_len = name, model, ids, chunk_len
        self.weight_bytes = model.weight_bytes() if hasattr(model, "weight_bytes") else _tensor_bytes(model)

    @torch.inference_mode()
    def prepare(self, context: int) -> None:
        self.state = self.model.init_state(1)
        for start in range(0, context, 4096):
            self.step(min(4096, context - start))

    def step(self, tokens: int) -> Tensor:
        hidden, self.state = self.model.step(self.next(tokens), self.state)
        return hidden

    def next(self, tokens: int) -> Tensor:
        first = self.state.tokens % (self.ids.shape[1] - 4096)
        return self.ids[:, first : first + tokens]

    @torch.inference_mode()
    def decode(self, tokens: int) -> None:
        for _ in range(tokens):
            if isinstance(self.model, Session):
                _, self.state = self.model.decode(self.next(1), self.state)
            else:
                self.model.read_out(self.step(1)[:, -1])

    @torch.inference_mode()
    def align(self) -> None:
        if self.state.chunk_fill:
            self.step(self.chunk_len - self.state.chunk_fill)

    @torch.inference_mode()
    def chunk(self) -> None:
        self.model.read_out(self.step(self.chunk_len)[:, -1])


class LlamaArm(Arm):
    """llama.cpp with a random Llama of as many weights as the model."""

    def __init__(self, path: Path, threads: int, chunk_len: int, context: int, vocabulary: int) -> None:
        import llama_cpp

        self.name, self.chunk_len, self.vocabulary = "llama.cpp-q4_0", chunk_len, vocabulary
        self.model = llama_cpp.Llama(
            str(path), n_ctx=context + 4096, n_threads=threads, n_threads_batch=threads, n_batch=chunk_len,
            n_ubatch=chunk_len, logits_all=False, verbose=False,
        )  # fmt: skip
        self.weight_bytes = path.stat().st_size
        self.seen = 0

    def prepare(self, context: int) -> None:
        self.model.reset()
        self.seen = 0
        self._read(context)

    def decode(self, tokens: int) -> None:
        for _ in range(tokens):
            self._read(1)

    def chunk(self) -> None:
        self._read(self.chunk_len)

    def _read(self, tokens: int) -> None:
        self.model.eval([1 + (self.seen + index) % (self.vocabulary - 1) for index in range(tokens)])
        self.seen += tokens


def make_arms(
    path: Path, backends: list[str], threads: int, longest: int, folder: Path, say: Callable[[str], object]
) -> list[Arm]:
    """All arms that can run here; what is missing is said, one line each.

    Parameters
    ----------
    longest : most tokens of context.
    folder : where the peer's random model may be written.
    """

    reference = load_model(path, "reference")
    cfg = reference.cfg
    ids = torch.randint(0, cfg.vocab_size, (1, 16384 + 4096), generator=torch.Generator().manual_seed(0))
    arms: list[Arm] = []
    for name, dtype in (("torch-fp32", torch.float32), ("torch-bf16", torch.bfloat16)):
        model = load_model(path, "reference").to(dtype)
        arms.append(ModelArm(name, model, ids, cfg.chunk_len))
    for backend in backends:
        try:
            model = load_model(path, backend, threads=threads)
        except BackendUnavailable as error:
            say(str(error))
            continue
        arms.append(ModelArm(backend, model, ids, cfg.chunk_len))
    if "onnx" in BACKENDS and importlib.util.find_spec("onnxruntime"):
        from synapnet_edge.runtime.onnx.session import OnnxSession
        from synapnet_edge.runtime.packed_file import read_packed

        float_model = OnnxSession(read_packed(path).as_float(), threads)
        arms.append(ModelArm("ort-fp32", float_model, ids, cfg.chunk_len))
    if importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("gguf") is None:
        say("llama.cpp is left out: it needs the packages llama-cpp-python and gguf")
    else:
        from synapnet_edge.runtime.bench.llama import write_llama

        weights = sum(parameter.numel() for parameter in reference.parameters())
        peer = write_llama(folder / "llama.gguf", cfg, weights)
        arms.append(LlamaArm(peer, threads, cfg.chunk_len, longest, cfg.vocab_size))
    return arms


def _tensor_bytes(model: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
