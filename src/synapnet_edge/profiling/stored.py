"""What a stored model says about itself, without reading its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from synapnet_edge.artifacts import METADATA_KEY, ArtifactError


def configuration(path: Path) -> dict[str, Any]:
    """The model configuration in the metadata of a stored model.

    Raises
    ------
    ArtifactError : the file is missing, is no safetensors file, or holds no model.
    """
    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
    except SafetensorError as error:
        raise ArtifactError(f"{path}: not a readable safetensors file ({error})") from error
    if "config" not in metadata:
        raise ArtifactError(f"{path}: found no model configuration in the metadata, expected key 'config'")
    return metadata["config"]


def is_baseline(path: Path) -> bool:
    """Whether the file holds a baseline: its configuration names a kind."""
    return "kind" in configuration(path)
