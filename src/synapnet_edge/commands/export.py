"""Write a packed file in a format that other programs run."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="packed file (a result of the quantize stage)")
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="onnx: graphs for onnxruntime")
    parser.add_argument("--out", type=Path, help="folder (default: beside the file, named after it)")


def run(options: argparse.Namespace) -> int:
    from synapnet_edge.runtime.onnx.export import export

    folder = options.out or options.file.with_suffix(f".{options.format}")
    for path in export(options.file, folder):
        print(f"{path}: {path.stat().st_size:,} bytes")
    return 0
