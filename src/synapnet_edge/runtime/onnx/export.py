"""Writing a packed file as ONNX graphs that anyone runs with onnxruntime alone."""

from __future__ import annotations

from pathlib import Path

from synapnet_edge.artifacts import atomic_path
from synapnet_edge.runtime.onnx.graph import build_graph
from synapnet_edge.runtime.packed_file import read_packed


def export(path: str | Path, folder: str | Path) -> list[Path]:
    """Write `decode.onnx` (one token) and `chunk.onnx` (a whole chunk) of a packed file; returns their paths.

    Raises
    ------
    ArtifactError
        If the file is not a packed file.
    """
    file = read_packed(path)
    written = []
    for name, tokens in (("decode", 1), ("chunk", file.cfg.chunk_len)):
        target = Path(folder) / f"{name}.onnx"
        model = build_graph(file, tokens)
        with atomic_path(target) as temporary:
            temporary.write_bytes(model.SerializeToString())
        written.append(target)
    return written
