"""Measure speed, memory and energy of random-weight models on one tier of this machine.

Writes <tier>-<model>.csv, .trace.csv and .json to a folder. For trained models use the workflow
(`snakemake deploy_all`): it measures the same with the same code.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

CONFIG = Path(__file__).parents[3] / "config"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, help="folder of the tables")
    parser.add_argument("--tier", default="cpu_single", help="a tier, or the name given with --device")
    parser.add_argument("--device", help="torch device that --tier names, such as xpu or cuda:1")
    parser.add_argument("--models", nargs="+", default=["reference", "large"], help="shapes of config/")
    parser.add_argument("--variants", nargs="+", default=["fp16"], help="stored variants to make of each")
    parser.add_argument("--seconds", type=float, default=80.0, help="time after which no metric is begun [s]")
    parser.add_argument("--metrics", nargs="+", help="only these; default: a short set")


def run(options: argparse.Namespace) -> int:
    import logging

    from synapnet_edge.profiling.quick import measure_random
    from synapnet_edge.profiling.tiers import TierUnavailable

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = {"devices": {options.tier: options.device}} if options.device else {}
    if options.metrics:
        settings["metrics"] = options.metrics
    try:
        measure_random(
            options.tier,
            _shapes(options.models),
            options.variants,
            options.out,
            seconds=options.seconds,
            settings=settings,
        )
    except TierUnavailable as reason:
        print(f"{reason}; not measured here", file=sys.stderr)
        return 1
    return 0


def _shapes(names: list[str]) -> dict[str, dict]:
    """Shapes by name, from config/reference.yaml and config/large.yaml."""
    from synapnet_edge.config_files import ConfigError, load_config

    models = load_config([CONFIG / "reference.yaml", CONFIG / "large.yaml"])["models"]
    unknown = [name for name in names if name not in models]
    if unknown:
        raise ConfigError(f"models: found {unknown}, expected some of {', '.join(models)}")
    return {name: models[name] for name in names}
