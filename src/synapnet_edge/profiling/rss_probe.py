"""Read the memory of a fresh process that loads and streams one model; prints one JSON line.

Run as ``python -m synapnet_edge.profiling.rss_probe MODEL CONTEXT``. A process that has already done other
work would report the memory of that work.
"""

from __future__ import annotations

import argparse
import gc
import json
from pathlib import Path

import torch

from synapnet_edge.profiling.memory import peak_rss_bytes, rss_bytes
from synapnet_edge.profiling.stream import DTYPES, decode, load_for, prefill, random_ids

DECODE_TOKENS = 4


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of the probe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="stored variant (.safetensors)")
    parser.add_argument("context", type=int, help="tokens to stream before the steady reading")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--chunk-size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Load, stream, decode a few tokens and print the readings."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    model = load_for(options.model, options.dtype, options.device)
    gc.collect()
    loaded = rss_bytes()
    ids = random_ids(model.cfg.vocab_size, options.context + DECODE_TOKENS, 0, options.device)
    state = prefill(model, ids[:, : options.context], options.chunk_size)
    state = decode(model, ids[:, options.context :], state)
    gc.collect()
    steady = rss_bytes()  # read while `state` is alive: the memory of a running stream
    readings = {"loaded_rss_bytes": loaded, "steady_rss_bytes": steady, "peak_rss_bytes": peak_rss_bytes()}
    print(json.dumps(readings))


if __name__ == "__main__":
    main()
