"""Writing a packed file as ONNX graphs that anyone runs with onnxruntime alone."""

from __future__ import annotations

from pathlib import Path

from synapnet_edge.artifacts import atomic_path
from synapnet_edge.runtime.onnx.graph import build_graph
from synapnet_edge.runtime.onnx.upkeep import build_select, build_write
from synapnet_edge.runtime.packed_file import read_packed


def export(path: str | Path, folder: str | Path) -> list[Path]:
    """Write a packed file's graphs; returns their paths.

    `decode.onnx` reads one token, `chunk.onnx` a whole chunk. `select.onnx` (of a model with attention) and
    `write.onnx` (of one with a memory) keep the state in order, see `upkeep`.

    Raises
    ------
    ArtifactError
        If the file is not a packed file.
    """
    file = read_packed(path)
    cfg = file.cfg
    graphs = {"decode": build_graph(file, 1), "chunk": build_graph(file, cfg.chunk_len)}
    if cfg.use_attention:
        graphs["select"] = build_select(cfg)
    if cfg.use_memory:
        graphs["write"] = build_write(cfg, cfg.episodic_slots, file.entries == "int8")
    written = []
    for name, model in graphs.items():
        target = Path(folder) / f"{name}.onnx"
        with atomic_path(target) as temporary:
            temporary.write_bytes(model.SerializeToString())
        written.append(target)
    return written
