"""A whole pass against the dense model of the same shape, and what each needs beside its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.profiling.backends import StreamSession
from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.dense_model import DenseModel
from synapnet_edge.profiling.metrics.speed import Stream
from synapnet_edge.profiling.stored import configuration, is_baseline
from synapnet_edge.profiling.timing import interleave, timed
from synapnet_edge.results_tree import DENSE

PIECE = 2048  # tokens our models read at once in a whole pass
DTYPES = {"torch-fp32": torch.float32, "torch-bf16": torch.bfloat16, "torch-fp16": torch.float16}


def measure(bench: Bench) -> None:
    """`forward_seconds` of every arm and of the dense model in the configured float types; random weights."""
    lengths = sorted(bench.settings.dense_lengths)
    if not lengths or not bench.arms:
        return
    if is_baseline(bench.arms[0].path):
        bench.skipped["metric dense"] = "the dense model has the shape of this package's own models only"
        return
    cfg = SynapNetEdgeConfig.from_dict(configuration(bench.arms[0].path))
    torch.manual_seed(bench.settings.seed)
    dense = DenseModel(cfg, lengths[-1]).eval()
    passes: dict[str, Callable[[int], None]] = {}
    for name in bench.settings.backends:
        if name in DTYPES:
            passes[f"{DENSE}/{name}"] = _dense_pass(bench, dense, DTYPES[name], cfg.vocab_size)
    for arm in bench.arms:
        session = bench.session(arm)
        passes[arm.key] = _streamed(session, bench.ids(session, lengths[-1]))
    for length in lengths:
        for run in passes.values():
            run(length)  # kernels and buffers of this length
        found = interleave(
            list(passes), bench.settings.repeats, lambda key, n=length: {"s": _seconds(passes[key], n, bench)}
        )
        for key, samples in found.items():
            variant, backend = key.split("/")
            arm = next((arm for arm in bench.arms if arm.key == key), (variant, backend))
            method = "one pass over the whole sequence, one read-out, batch 1, interleaved arms"
            if variant == DENSE:
                method += "; random weights"
            bench.add(arm, length, "forward_seconds", "s", samples["s"], method)
    whole = f"positions for {lengths[-1]} tokens included"
    held = sum(parameter.numel() for parameter in dense.parameters())
    bench.add((DENSE, "torch-fp32"), 0, "parameters", "1", [held], whole)


def _dense_pass(
    bench: Bench, model: DenseModel, dtype: torch.dtype, vocab_size: int
) -> Callable[[int], None]:
    mine = copy.deepcopy(model).to(bench.device, dtype)
    longest = mine.position.num_embeddings
    ids = np.random.default_rng(bench.settings.seed).integers(0, vocab_size, size=(1, longest))
    placed = torch.from_numpy(ids).to(bench.device)
    return lambda length: mine(placed[:, :length])


def _streamed(session: StreamSession, ids: Any) -> Callable[[int], None]:
    def run(length: int) -> None:
        stream = Stream(session, ids)
        stream.advance(length, PIECE)
        session.read_out(stream.hidden)

    return run


def _seconds(run: Callable[[int], None], length: int, bench: Bench) -> float:
    return timed(lambda: run(length), bench.device)[1]
