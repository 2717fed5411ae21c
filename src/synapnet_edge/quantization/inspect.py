"""What a stored model holds, read from the file alone: parameters, bits and bytes by component."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pandas as pd

from synapnet_edge.artifacts import read_tensors
from synapnet_edge.models.synapnet_edge_model import component_of

PARTS = ("codes", "scales", "zeros")  # tensors of one packed weight


def ledger_of(path: str | Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The byte ledger of a packed or plain file, and its metadata.

    Returns
    -------
    ledger : columns component, tensor, parameters, bytes, as `save_quantized` writes them; the bytes add up
        to the file's payload. Whole numbers are constants of the model and count no parameters.
    metadata : as stored.

    Raises
    ------
    ArtifactError : the file is missing or not a safetensors file.
    """
    tensors, metadata = read_tensors(path)
    packed = metadata.get("packed", {})
    rows: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        base, _, part = key.rpartition(".")
        name = base if part in PARTS and base in packed else key
        if name in packed:
            parameters = prod(packed[name]["shape"])
        else:
            parameters = tensor.numel() if tensor.is_floating_point() else 0
        row = rows.setdefault(
            name, {"component": component_of(name), "tensor": name, "parameters": parameters, "bytes": 0}
        )
        row["bytes"] += tensor.numel() * tensor.element_size()
    return pd.DataFrame(list(rows.values()), columns=["component", "tensor", "parameters", "bytes"]), metadata


def by_component(ledger: pd.DataFrame) -> pd.DataFrame:
    """Sums of a ledger, largest first, with `bits` per parameter and a last row for the whole file."""
    table = ledger.groupby("component", sort=False)[["parameters", "bytes"]].sum()
    table = table.sort_values("bytes", ascending=False)
    table.loc["whole model"] = table.sum()
    table["bits"] = 8 * table["bytes"] / table["parameters"].where(table["parameters"] > 0)
    return table.reset_index()
