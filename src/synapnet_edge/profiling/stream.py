"""The one way every profile runs a model: random ids, pieces of a chunk, then tokens one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_for(path: Path, dtype: str, device: str) -> torch.nn.Module:
    """Load a stored variant and move it to the compute dtype and device, in eval mode.

    Raises
    ------
    ValueError : unknown dtype.
    """
    from synapnet_edge.quantization import load_model

    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    return load_model(path, device, DTYPES[dtype])


def random_ids(vocab_size: int, length: int, seed: int, device: str) -> Tensor:
    """Uniform token ids [1, length]; speed depends on the number of tokens, not on which they are."""
    ids = np.random.default_rng(seed).integers(0, vocab_size, size=(1, length), dtype=np.int64)
    return torch.from_numpy(ids).to(device)


@torch.inference_mode()
def prefill(model: torch.nn.Module, ids: Tensor, chunk_size: int) -> Any:
    """Stream ids [1, T] in pieces of `chunk_size`, read the last position out once; the carried state."""
    state = model.init_state(1)
    for start in range(0, ids.shape[1], chunk_size):
        hidden, state = model.step(ids[:, start : start + chunk_size], state)
    model.read_out(hidden[:, -1:])
    return state


@torch.inference_mode()
def decode(model: torch.nn.Module, ids: Tensor, state: Any) -> Any:
    """Step through ids [1, T] one token at a time with a read-out after each, as generation does."""
    for position in range(ids.shape[1]):
        hidden, state = model.step(ids[:, position : position + 1], state)
        model.read_out(hidden)
    return state


def parameter_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers as loaded; shared storage counts once."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in [*model.parameters(), *model.buffers()]
    }
    return sum(storages.values())
