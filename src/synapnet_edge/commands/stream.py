"""Stream tokens through a model under a memory budget and watch speed, process memory and the store.

The file holds token ids as text, separated by white space; "-" reads them from standard input, and
`--random N` makes N of them.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", default="-", help="token ids as text, - for standard input")
    parser.add_argument("--model", required=True, type=Path, help="stored model (.safetensors)")
    parser.add_argument("--budget-mb", type=float, default=2.0, help="memory of the stream [MiB, 2^20 bytes]")
    parser.add_argument(
        "--policy",
        default="baee",
        help="ranking of entries, see `info`; +fp16, +int8, ... says the entry formats",
    )
    parser.add_argument("--piece", type=int, default=512, help="tokens per step")
    parser.add_argument("--random", type=int, metavar="N", help="N random tokens instead of a file")
    parser.add_argument("--threads", type=int, default=1, help="compute threads")


def run(options: argparse.Namespace) -> int:
    from synapnet_edge.threads import limit_threads

    limit_threads(options.threads)
    from synapnet_edge.profiling.live import watch
    from synapnet_edge.quantization.checkpoint import load_model

    model = load_model(options.model)
    tokens = _random(options.random, model.cfg.vocab_size) if options.random else _tokens(options.file)
    live = sys.stderr.isatty()
    last = None
    for last in watch(model, tokens, options.budget_mb, options.policy, options.piece):
        print(last.line(), file=sys.stderr, end="\r" if live else "\n", flush=True)
    if last is None:
        print("no tokens", file=sys.stderr)
        return 1
    if live:
        print(file=sys.stderr)
    print(f"{last.tokens:,} tokens in {last.seconds:.1f} s; most likely next class: {last.answer}")
    return 0


def _tokens(file: str) -> Iterator[int]:
    from synapnet_edge.artifacts import ArtifactError

    with contextlib.nullcontext(sys.stdin) if file == "-" else Path(file).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            for word in line.split():
                if not word.isdecimal():
                    raise ArtifactError(f"{file}, line {number}: found {word!r}, expected token ids")
                yield int(word)


def _random(count: int, vocabulary: int) -> Iterator[int]:
    import numpy as np

    rng = np.random.default_rng(0)
    for start in range(0, count, 65536):
        yield from rng.integers(0, vocabulary, min(65536, count - start)).tolist()
