"""Measure the speed of a packed file by every backend, beside its float original and llama.cpp."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="packed file (a result of the quantize stage)")
    parser.add_argument("--backends", nargs="+", help="packed arms; default: all that can run here")
    parser.add_argument("--threads", type=int, default=1, help="threads of every arm (default 1)")
    parser.add_argument(
        "--contexts", type=int, nargs="+", default=[1024], help="tokens before (default 1024)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds over all arms (default 15)")
    parser.add_argument("--tokens", type=int, default=32, help="tokens decoded per round (default 32)")
    parser.add_argument("--table", type=Path, help="write the table to this CSV file too")


def run(options: argparse.Namespace) -> int:
    import sys
    import tempfile

    import torch

    from synapnet_edge.artifacts import machine_info, write_table
    from synapnet_edge.runtime.bench.arms import make_arms
    from synapnet_edge.runtime.bench.measure import compare, read_rate
    from synapnet_edge.runtime.load import BACKENDS

    if options.rounds < 3:
        print("--rounds: at least 3", file=sys.stderr)
        return 1
    torch.set_num_threads(options.threads)
    backends = options.backends or [name for name in BACKENDS if name != "reference"]
    with tempfile.TemporaryDirectory() as folder:
        arms = make_arms(
            options.file, backends, options.threads, max(options.contexts), Path(folder), print
        )  # fmt: skip
        table = compare(
            arms,
            options.contexts,
            rounds=options.rounds,
            decode_tokens=options.tokens,
            chunk_len=arms[0].chunk_len,
            threads=options.threads,
        )
    for key, value in machine_info().items():
        print(f"{key}: {value}")
    rate = read_rate()
    print(f"memory read by one thread: {rate / 1e9:.1f} GB/s")
    for arm in arms:
        if arm.weight_bytes:
            floor = f"reading them once takes {1e3 * arm.weight_bytes / rate:.3f} ms"
            print(f"{arm.name}: {arm.weight_bytes:,} bytes of weights, {floor} from memory")
    print(table.drop(columns="weight_bytes").to_string(index=False, float_format=lambda x: f"{x:.3f}"))
    if options.table is not None:
        write_table(options.table, table)
    return 0
