"""Copy summary, tables and figures of a finished run for readers, with a manifest of what made them."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, default=Path("results"), help="the finished run")
    parser.add_argument("--readme", type=Path, help="a page whose headline table is written anew")
    parser.add_argument("--to", type=Path, default=Path("docs/results"), help="replaced as a whole")


def run(options: argparse.Namespace) -> int:
    from synapnet_edge.artifacts import read_json
    from synapnet_edge.reporting.readme import refresh
    from synapnet_edge.reporting.record import publish

    files = publish(options.results, options.to)
    if options.readme:
        refresh(options.readme, options.to)
    record = read_json(options.to / "manifest.json")
    print(f"{len(files)} files in {options.to}, commit {record['commit']}, settings {record['config_hash']}")
    return 0
