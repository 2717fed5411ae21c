"""Read the memory of a fresh process that loads and streams one model; prints one JSON line.

Run as ``python -m synapnet_edge.profiling.probe MODEL --backend NAME``. A process that has already done other
work would report the memory of that work.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synapnet_edge.profiling.backends import BACKENDS, StreamSession
from synapnet_edge.profiling.device import (
    allocated_bytes,
    counts_allocations,
    peak_allocated_bytes,
    release,
    reset_peak,
    synchronise,
)
from synapnet_edge.profiling.memory import (
    RssTrace,
    peak_rss_bytes,
    private_bytes,
    return_free_memory,
    rss_bytes,
)
from synapnet_edge.profiling.memory import reset_peak as reset_peak_rss

DECODE_TOKENS = 4
TRACE_SECONDS = 0.02


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of the probe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="stored variant (.safetensors)")
    parser.add_argument("--backend", required=True, choices=BACKENDS.names())
    parser.add_argument("--contexts", type=int, nargs="+", required=True, help="tokens after which to read")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--chunk-size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Load, stream to the longest context, decode a few tokens and print the readings."""
    options = parse(arguments)
    import torch

    torch.set_num_threads(options.threads)
    with RssTrace(TRACE_SECONDS) as trace:
        readings = _stream(options)
    # The peak of the whole life: the counter was reset on the way, the thread's readings were not.
    readings["peak_rss_bytes"] = max(readings["peak_before_reset"], trace.peak(), peak_rss_bytes())
    readings["trace"] = [[round(seconds, 4), rss] for seconds, rss in _thinned(trace.points)]
    print(json.dumps(readings))


def _stream(options: argparse.Namespace) -> dict[str, Any]:
    session = BACKENDS.get(options.backend).load(options.model, options.device, options.threads)
    ids = placed_ids(session, options.contexts)
    # One token builds thread pools, kernels and buffers that belong to the backend, not to the context.
    hidden, _ = session.feed(ids[:, :1], session.start())
    session.read_out(hidden)
    synchronise(options.device)
    before_reset = peak_rss_bytes()
    return_free_memory()
    found: dict[str, Any] = {"peak_before_reset": before_reset, "peak_resets": reset_peak_rss()}
    found |= {"loaded_rss_bytes": rss_bytes(), "loaded_private_bytes": private_bytes()}
    found["checkpoints"], state = read_stream(session, ids, options.contexts, options.chunk_size)
    for position in range(max(options.contexts), ids.shape[1]):
        hidden, state = session.feed(ids[:, position : position + 1], state)
        session.read_out(hidden)
    synchronise(options.device)
    return_free_memory()
    found["steady_rss_bytes"] = rss_bytes()  # read while `state` is alive: the memory of a running stream
    found["steady_private_bytes"] = private_bytes()
    return found


def placed_ids(session: StreamSession, contexts: Sequence[int]) -> Any:
    """Random ids for a stream to the longest context and a few tokens after it."""
    drawn = np.random.default_rng(0).integers(0, session.vocab_size, size=max(contexts) + DECODE_TOKENS)
    return session.place(drawn)


def read_stream(
    session: StreamSession, ids: Any, contexts: Sequence[int], chunk_size: int
) -> tuple[list[dict[str, Any]], Any]:
    """Stream to every context in turn and read there what the stream takes; the readings and the last state.

    `activation_bytes` is the peak since the start of the stream: that of the device's allocator where it
    counts (`on_device`), else that of this process, which must do nothing else meanwhile.
    """
    device = session.device
    on_device = counts_allocations(device)
    if on_device:
        release(device)
        reset_peak(device)
    held = allocated_bytes(device) if on_device else rss_bytes()
    found, state, read = [], session.start(), 0
    for context in sorted(contexts):
        while read < context:
            stop = min(context, read + chunk_size)
            hidden, state = session.feed(ids[:, read:stop], state)
            read = stop
        session.read_out(hidden)
        synchronise(device)
        peak = (peak_allocated_bytes(device) if on_device else peak_rss_bytes()) - held
        found.append(
            {"context": context, "activation_bytes": max(0, peak), "state_bytes": session.state_bytes(state)}
            | {"store_bytes": session.store_bytes(state), "on_device": on_device}
        )
    return found, state


def _thinned(points: list[tuple[float, int]], most: int = 400) -> list[tuple[float, int]]:
    """At most about `most` points, the first and the last among them."""
    step = max(1, len(points) // most)
    return [*points[:-1:step], points[-1]]


if __name__ == "__main__":
    main()
