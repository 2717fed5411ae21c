"""What training cost: speed, and how much of the processor's matrix throughput the model used."""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import torch
from torch import nn

from synapnet_edge.training.parallel import Ranks

_ATTEMPTS, _SECONDS = 5, 0.8


def training_cost(
    model: nn.Module, tokens: int, seconds: float, ranks: Ranks, device: torch.device, bfloat16: bool
) -> dict[str, Any]:
    """Facts for the manifest; the peak is measured now, in all processes at once.

    Model FLOPs are `6 x matmul_parameters x tokens` (forward 2, backward 4). Left out: products between
    queries, keys and values, convolutions, norms. Counted as if applied to every token: the projections of
    memory entries (only written tokens need them) and the classification head (only read-outs do).
    """
    memory = ranks.total([_peak_rss_bytes()])[0]
    peak = ranks.total([matmul_peak(device, bfloat16)])[0]
    parameters = matmul_parameters(model)
    flops = 6 * parameters * tokens / seconds
    threads = torch.get_num_threads()
    return {
        "tokens": tokens,
        "training_seconds": seconds,
        "training_core_seconds": seconds * threads * ranks.size,
        "tokens_per_second": tokens / seconds,
        "processes": ranks.size,
        "threads": threads,  # of each process
        "training_peak_rss_bytes": int(memory),  # of all processes together
        "matmul_parameters": parameters,
        "model_flops_per_second": flops,
        "matmul_peak_flops_per_second": peak,
        "matmul_share": flops / peak,
    }


def matmul_parameters(model: nn.Module) -> int:
    """Weights of the linear layers."""
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


def matmul_peak(device: torch.device, bfloat16: bool) -> float:
    """Best of five products of two square matrices [FLOP/s], in training's precision and with its threads.

    The sizes fill the processor and take about a second at most: 2048 in bfloat16 and 1024 in float32 on a
    CPU, 8192 on a GPU. Fewer attempts where even one is slow.
    """
    size = 8192 if device.type != "cpu" else 2048 if bfloat16 else 1024
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    generator = torch.Generator(device).manual_seed(0)
    matrix = torch.randn(size, size, generator=generator, device=device).to(dtype)
    out = torch.empty_like(matrix)
    durations: list[float] = []
    # The first product sets up kernels and is not counted.
    while len(durations) <= _ATTEMPTS and (len(durations) < 2 or sum(durations) < _SECONDS):
        _finish(device)
        start = time.perf_counter()
        torch.mm(matrix, matrix, out=out)
        _finish(device)
        durations.append(time.perf_counter() - start)
    return 2 * size**3 / min(durations[1:])


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux reports KiB, macOS bytes


def _finish(device: torch.device) -> None:
    """Wait for what a GPU was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
