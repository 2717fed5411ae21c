"""Packages that only some commands need: what to install is said in one line instead of a traceback."""

from __future__ import annotations

# Importable name -> the extra of pyproject.toml that brings it.
EXTRAS: dict[str, str] = {
    "datasets": "longbench",
    "huggingface_hub": "longbench",
    "mlx": "mlx",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "transformers": "baselines",
}


def advice(error: ModuleNotFoundError) -> str | None:
    """What to install for a missing package; None if no extra of this project brings it."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return f"this needs {package}, which is not installed: pip install 'synapnet-edge[{EXTRAS[package]}]'"
