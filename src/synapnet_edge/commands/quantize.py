"""Store a trained model under a recipe that needs no training.

Recipes that search on calibration data take the statistics of the calibrate stage (`--stats`).
"""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="trained model (.safetensors), as stage pretrain writes it")
    parser.add_argument("--recipe", required=True, help="a variant, see `info`")
    parser.add_argument("--stats", type=Path, help="results/calibrate/.../stats.safetensors")
    parser.add_argument(
        "--out", required=True, type=Path, help="packed file; its ledger goes beside it (.csv)"
    )


def run(options: argparse.Namespace) -> int:
    import sys

    from synapnet_edge.quantization.inspect import by_component
    from synapnet_edge.quantization.variants import VARIANTS
    from synapnet_edge.training.quantize import quantize_variant

    arm = VARIANTS.get(options.recipe)
    if arm.trains:
        print(
            f"{options.recipe} trains; the workflow makes it: "
            f"snakemake --cores 4 results/quantize/reference/seed42/{options.recipe}.safetensors",
            file=sys.stderr,
        )
        return 1
    if arm.needs_statistics and options.stats is None:
        print(f"{options.recipe} searches on calibration data: give --stats", file=sys.stderr)
        return 1
    ledger = quantize_variant(
        options.model, options.stats, options.recipe, {}, 0, options.out, options.out.with_suffix(".csv")
    )
    whole = by_component(ledger).iloc[-1]
    print(f"{options.out}: {int(whole['bytes']):,} bytes, {whole['bits']:.2f} bits per parameter")
    return 0
