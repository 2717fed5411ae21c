"""Speed and carried bytes of baselines beside the reference model, by the rules of the deployment profile.

All models run in PyTorch in float32, interleaved in one job, so that their ratios are those of the models and
not of their runtimes. Stored low-bit weights change bytes and nothing else here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synapnet_edge.baselines.base import Baseline
from synapnet_edge.baselines.files import load_any
from synapnet_edge.models.state import ModelState
from synapnet_edge.profiling.bench import COLUMNS
from synapnet_edge.profiling.tiers import require
from synapnet_edge.profiling.timing import interleave, median_interval, timed

BACKEND = "torch-fp32"
PIECE = 1024  # tokens per step of the streams whose state is measured


class Stored(NamedTuple):
    """One stored model."""

    model: str
    variant: str
    path: Path


def profile_contenders(
    tier: str, stored: Sequence[Stored], cfg: Mapping[str, Any], threads: int
) -> pd.DataFrame:
    """Prefill and decode tokens/s at every context, and the bytes one stream carries after so many tokens.

    Parameters
    ----------
    stored : the models to compare; any variant, since speed does not depend on it here.
    cfg : `contexts`, `chunk_size`, `decode_tokens`, `repeats`, `state_contexts`, `seed`.

    Raises
    ------
    TierUnavailable : the machine lacks the tier.
    """
    place, before = require(tier), torch.get_num_threads()
    torch.set_num_threads(place.threads(threads))
    try:
        models = {entry.model: load_any(entry.path, place.device) for entry in stored}
        variant = {entry.model: entry.variant for entry in stored}
        rows = [*_speed(models, place.device, cfg), *_states(models, cfg)]
        common = {"tier": tier, "backend": BACKEND, "threads": torch.get_num_threads()}
    finally:
        torch.set_num_threads(before)
    rows = [common | {"variant": variant[row["model"]]} | row for row in rows]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def random_ids(vocab_size: int, length: int, seed: int, device: str) -> Tensor:
    """Uniform token ids [1, length]; speed depends on the number of tokens, not on which they are."""
    ids = np.random.default_rng(seed).integers(0, vocab_size, size=(1, length), dtype=np.int64)
    return torch.from_numpy(ids).to(device)


@torch.inference_mode()
def prefill(model: torch.nn.Module, ids: Tensor, chunk_size: int) -> Any:
    """Stream ids [1, T] in pieces of `chunk_size`, read the last position out once; the carried state."""
    state = model.init_state(1)
    for piece in ids.split(chunk_size, 1):
        hidden, state = model.step(piece, state)
    model.read_out(hidden[:, -1:])
    return state


@torch.inference_mode()
def decode(model: torch.nn.Module, ids: Tensor, state: Any) -> None:
    """Step through ids [1, T] one token at a time with a read-out after each, as generation does."""
    for token in ids.split(1, 1):
        hidden, state = model.step(token, state)
        model.read_out(hidden)


def state_bytes(model: torch.nn.Module, state: Any) -> int:
    """Bytes that one stream of `state` carries: floats in FP16, recurrent SSM states in FP32."""
    if isinstance(model, Baseline):
        return model.state_bytes(state)
    return reference_state_bytes(state)


def reference_state_bytes(state: ModelState) -> int:
    """Bytes of a `ModelState` of one stream: floats in FP16, positions of entries in 4 bytes."""
    tensors = [tensor for layer in state.layers for tensor in vars(layer).values() if tensor is not None]
    for layer in range(len(state.layers)):
        view = state.store.read(layer)
        tensors += [] if view is None else [view.keys, view.values, view.bias]
        positions = state.store.positions.get(layer)
        tensors += [] if positions is None else [positions]
    return sum((2 if tensor.is_floating_point() else 4) * tensor[0].numel() for tensor in tensors)


@torch.inference_mode()
def bytes_by_context(model: torch.nn.Module, contexts: Sequence[int], seed: int) -> dict[int, int]:
    """Carried bytes after so many tokens of one stream that was really stepped through.

    A baseline takes its steps on the meta device: shapes are those of the real run and nothing is computed,
    as attention over 65,536 tokens would take minutes.
    """
    ids = random_ids(model.cfg.vocab_size, max(contexts), seed, "cpu")
    if isinstance(model, Baseline):
        model = model.skeleton()
        ids = ids.to("meta")
    state, found, done = model.init_state(1), {}, 0
    for context in sorted(contexts):
        while done < context:
            stop = min(context, done + PIECE)
            model.step(ids[:, done:stop], state)
            done = stop
        found[context] = state_bytes(model, state)
    return found


def _speed(
    models: Mapping[str, torch.nn.Module], device: str, cfg: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    longest = max(cfg["contexts"]) + cfg["decode_tokens"]
    ids = {
        name: random_ids(model.cfg.vocab_size, longest, cfg["seed"], device) for name, model in models.items()
    }
    for name in models:  # first calls build thread pools and kernel caches
        _measure(models, ids, min(cfg["contexts"]), cfg, device, name)
    for context in sorted(cfg["contexts"]):
        found = interleave(list(models), cfg["repeats"], partial(_measure, models, ids, context, cfg, device))
        for name in models:
            for metric, samples in found[name].items():
                yield _row(name, context, metric, "token/s", samples, "batch 1, interleaved models, float32")


def _measure(
    models: Mapping[str, torch.nn.Module],
    ids: Mapping[str, Tensor],
    context: int,
    cfg: Mapping[str, Any],
    device: str,
    name: str,
) -> dict[str, float]:
    """One prefill and the decoding after it, in tokens per second."""
    model, stream = models[name], ids[name]
    state, seconds = timed(lambda: prefill(model, stream[:, :context], cfg["chunk_size"]), device)
    following = stream[:, context : context + cfg["decode_tokens"]]
    _, decoding = timed(lambda: decode(model, following, state), device)
    return {
        "prefill_tokens_per_second": context / seconds,
        "decode_tokens_per_second": cfg["decode_tokens"] / decoding,
    }


def _states(models: Mapping[str, torch.nn.Module], cfg: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, model in models.items():
        for context, size in bytes_by_context(model, cfg["state_contexts"], cfg["seed"]).items():
            yield _row(name, context, "state_bytes", "B", [float(size)], "FP16, recurrent states FP32")


def _row(
    model: str, context: int, metric: str, unit: str, samples: list[float], method: str
) -> dict[str, Any]:
    interval = median_interval(samples)
    return {
        "model": model,
        "context": context,
        "metric": metric,
        "value": interval.median,
        "unit": unit,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "repeats": interval.repeats,
        "method": method,
    }
