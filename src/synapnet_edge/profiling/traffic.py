"""Work and traffic of a token: multiply-accumulates counted while a model runs, bytes as it holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from synapnet_edge.artifacts import read_tensors

TOKEN_TABLES = ("embed.token.", "embed.prior")  # names of tensors of which a token reads one row


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates per token: of a single-token step, and of a piece."""

    decode: float
    prefill: float


def count_macs(path: Path, context: int, piece: int) -> Work:
    """Count the products of a stored model in PyTorch, for one token after `context` others and for a piece.

    The number is that of the model and the same for all its variants and backends.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from synapnet_edge.baselines.files import load_any

    model = load_any(path)
    ids = torch.zeros(1, context + piece, dtype=torch.int64)
    # The plain form of the attention, since fused kernels of some devices are not counted.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        state = model.init_state(1)
        _, state = model.step(ids[:, :context], state)
        with FlopCounterMode(display=False) as counter:
            model.step(ids[:, :piece], state)
        prefill = counter.get_total_flops() / 2 / piece
        with FlopCounterMode(display=False) as counter:
            hidden, _ = model.step(ids[:, :1], state)
            model.read_out(hidden)
    return Work(counter.get_total_flops() / 2, prefill)


def gathered_bytes(path: Path, parameter_bytes: int) -> float:
    """Bytes of the token table as the loaded model holds it: a token reads one row of it, not the table.

    Loaded models keep every tensor in one type or as the file has it: the table has the same share of both.
    """
    tensors, _ = read_tensors(path)
    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}
    table = sum(size for name, size in sizes.items() if name.startswith(TOKEN_TABLES))
    return parameter_bytes * table / sum(sizes.values())
