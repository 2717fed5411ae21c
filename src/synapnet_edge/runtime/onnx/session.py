"""The `onnx` backend: two graphs in onnxruntime, state in buffers that the graphs read in place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synapnet_edge.models.state import EntryStore, MemoryView
from synapnet_edge.runtime.onnx.stream import OnnxStream
from synapnet_edge.runtime.packed_file import PackedFile
from synapnet_edge.runtime.session import BackendUnavailable, Session, check_ids

_MISSING = "backend 'onnx' needs {name}, which is not installed: pip install 'synapnet-edge[onnx]'"


@dataclass
class OnnxState:
    """Streams in mid-air, each with its own memory; attributes that `ModelState` has too mean the same."""

    streams: list[OnnxStream]
    chunk_len: int
    slots: int
    tokens: int = 0
    chunk_fill: int = 0
    store: None = None

    def memory(self, layer: int) -> MemoryView:
        """The entries that the streams read in `layer`."""
        parts = zip(*(stream.entries(layer) for stream in self.streams), strict=True)
        keys, values, bias = (torch.from_numpy(np.stack(x)) for x in parts)
        return MemoryView(keys, values, bias, torch.full((len(self.streams),), float(bias.shape[1])))


class OnnxSession(Session):
    """Runs a packed file with onnxruntime's kernels (MatMulNBits), one token or one whole chunk at a time.

    Activations that meet packed weights are rounded to int8 per token and 64 features inside MatMulNBits.

    Parameters
    ----------
    file : PackedFile
    threads : int
    level : int
        MatMulNBits' accuracy level: 4 as above; 0 keeps float32 activations (slow at 2 and 8 bits).
    """

    backend = "onnx"

    def __init__(self, file: PackedFile, threads: int = 1, level: int = 4) -> None:
        super().__init__(file.cfg, file.variant, threads)
        try:
            import onnx  # noqa: F401
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable(_MISSING.format(name=error.name)) from error
        from synapnet_edge.runtime.onnx.graph import build_graph, build_head
        from synapnet_edge.runtime.onnx.upkeep import build_select

        self._level, self._file = level, file
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads, self._options.inter_op_num_threads = threads, 1
        # Threads that wait for work must not keep a core busy.
        self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._options.log_severity_level = 3
        graphs = {
            "decode": build_graph(file, 1, level),
            "chunk": build_graph(file, file.cfg.chunk_len, level),
            "head": build_head(file, level),
            "select": build_select(file.cfg),
        }
        self._bytes = len(graphs["decode"].SerializeToString())
        self._sessions = {name: self._load(graph) for name, graph in graphs.items()}
        self._writers: dict[int, onnxruntime.InferenceSession] = {}  # by entries written of a chunk
        self._run = onnxruntime.RunOptions()
        self._run.only_execute_path_to_fetches = True  # logits are asked for by `read_out`

    def _load(self, graph):
        import onnxruntime

        return onnxruntime.InferenceSession(
            graph.SerializeToString(), self._options, providers=["CPUExecutionProvider"]
        )

    def weight_bytes(self) -> int:
        """Bytes of one graph's constants as stored; onnxruntime keeps its own copy for each of two graphs."""
        return self._bytes

    def init_state(
        self,
        batch_size: int,
        store: EntryStore | None = None,
        *,
        chunk_len: int | None = None,
        write_share: float | None = None,
    ) -> OnnxState:
        if store is not None:
            raise ValueError(
                "backend 'onnx' keeps each stream's most salient entries in its graphs' buffers; other stores"
                " and eviction policies need backend 'fast' or 'reference'"
            )
        if chunk_len not in (None, self.cfg.chunk_len):
            raise ValueError(
                f"chunk_len: backend 'onnx' has graphs for {self.cfg.chunk_len}, got {chunk_len}"
            )
        share = self.cfg.episodic_slots / self.cfg.chunk_len if write_share is None else write_share
        from synapnet_edge.runtime.onnx.upkeep import build_write

        slots = min(self.cfg.chunk_len, max(1, math.ceil(share * self.cfg.chunk_len)))
        if slots not in self._writers:
            self._writers[slots] = self._load(build_write(self.cfg, slots, self._file.entries == "int8"))
        sessions = {**self._sessions, "write": self._writers[slots]}
        streams = [OnnxStream(self.cfg, slots, sessions) for _ in range(batch_size)]
        return OnnxState(streams, self.cfg.chunk_len, slots)

    def step(self, ids: Tensor, state: OnnxState) -> tuple[Tensor, OnnxState]:
        return self._read(ids, state, "decode"), state

    def decode(self, ids: Tensor, state: OnnxState) -> tuple[Tensor, OnnxState]:
        """See `Session.decode`; a single token's logits come out of the same run."""
        if ids.shape[1:] != (1,):
            return super().decode(ids, state)
        self._read(ids, state, "answer")
        return torch.from_numpy(np.stack([stream.logits() for stream in state.streams])), state

    def _read(self, ids: Tensor, state: OnnxState, single: str) -> Tensor:
        """Hidden states of ids; single tokens run the graph called `single`."""
        check_ids(ids, self.cfg.vocab_size)
        if ids.shape[0] != len(state.streams):
            raise ValueError(f"ids of {ids.shape[0]} streams, the state has {len(state.streams)}")
        rows = ids.numpy()
        hidden = np.empty((*rows.shape, self.cfg.dim), np.float32)
        start, length = 0, rows.shape[1]
        while start < length:
            whole = state.chunk_fill == 0 and length - start >= state.chunk_len
            size = state.chunk_len if whole else 1
            for stream, row, out in zip(state.streams, rows, hidden, strict=True):
                stream.run("chunk" if whole else single, row[start : start + size], self._run)
                out[start : start + size] = stream.hidden(size)
            state.tokens += size
            state.chunk_fill = (state.chunk_fill + size) % state.chunk_len
            start += size
        return torch.from_numpy(hidden)

    def read_out(self, hidden: Tensor) -> Tensor:
        rows = np.ascontiguousarray(hidden.detach().reshape(-1, self.cfg.dim).float().numpy())
        (logits,) = self._sessions["head"].run(None, {"hidden": rows})
        return torch.from_numpy(logits).reshape(*hidden.shape[:-1], logits.shape[-1])
