"""Loading a packed file with the backend of one's choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synapnet_edge.runtime.packed_file import read_packed

if TYPE_CHECKING:
    from synapnet_edge.models import SynapNetEdge
    from synapnet_edge.runtime.session import Session

#: Name -> what it is for.
BACKENDS = {
    "reference": "PyTorch, weights dequantised to float32: for training, tests and any device",
    "fast": "compiled kernels on the packed weights (Numba)",
    "onnx": "onnxruntime's kernels on the packed weights; what `export` writes",
    "mlx": "MLX, for Apple's processors",
}


def load_model(
    path: str | Path, backend: str = "fast", *, threads: int = 1, activations: str | None = None
) -> Session | SynapNetEdge:
    """Load a stored model for inference.

    Parameters
    ----------
    path : file written by the quantize stage or `save_quantized`.
    backend : a name of `BACKENDS`. The reference also loads a plain float checkpoint.
    threads : threads to compute with (the reference uses PyTorch's own setting).
    activations : ``"int8"`` with the reference: round them where the compiled backends do.

    Returns
    -------
    Session or SynapNetEdge
        Both have `init_state`, `step`, `read_out`, `forward_streaming` and `generate`.

    Raises
    ------
    ArtifactError
        If the file is not a packed file.
    BackendUnavailable
        If a package that the backend needs is not installed.
    ValueError
        For an unknown backend, or rounded activations of a file without packed weights.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: found {backend!r}, expected one of {', '.join(BACKENDS)}")
    if activations not in (None, "int8"):
        raise ValueError(f"activations: found {activations!r}, expected None or 'int8'")
    if backend == "reference":
        from synapnet_edge.quantization.checkpoint import load_model as load_reference
        from synapnet_edge.runtime.activations import round_inputs

        model = load_reference(path)
        if activations is None:
            return model
        if model.quantization is None:
            raise ValueError(f"{path}: activations='int8' needs a packed file, found a float checkpoint")
        return round_inputs(model)
    if activations is not None:
        raise ValueError(
            f"activations: backend {backend!r} rounds by itself; only 'reference' has the choice"
        )
    if backend == "onnx":
        from synapnet_edge.runtime.onnx.session import OnnxSession

        return OnnxSession(read_packed(path), threads)
    if backend == "mlx":
        from synapnet_edge.runtime.mlx.session import MlxSession

        return MlxSession(read_packed(path), threads)
    from synapnet_edge.runtime.fast.session import FastSession

    return FastSession(read_packed(path), threads)
