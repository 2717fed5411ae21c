"""Check YAML files of settings, merged from left to right."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, help="reference.yaml first, then your changes")


def run(options: argparse.Namespace) -> int:
    from synapnet_edge import own_tasks
    from synapnet_edge.catalogue import build
    from synapnet_edge.config_files import load_config, validate_config

    config = validate_config(load_config(options.files), options.files)
    own_tasks.announce(own_tasks.find(config, options.files))
    validate_config(config, options.files, build())
    print("valid")
    return 0
