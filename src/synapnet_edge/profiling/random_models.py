"""Stored models with random weights: for speed and memory, which do not depend on what the weights are.

Everything made here carries `RANDOM` in the name of its model, so that no row can be taken for a trained one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.quantization import VARIANTS, CAJQConfig, apply_cajq, apply_recipe, save_quantized
from synapnet_edge.quantization.statistics import collect_statistics

RANDOM = "_random"
CALIBRATION = (2, 128)  # sequences and tokens of the random calibration batch


def random_name(model: str) -> str:
    """Name of a shape with random weights."""
    return model if model.endswith(RANDOM) else model + RANDOM


def write_random(
    shape: Mapping[str, Any], variants: Iterable[str], folder: Path, seed: int = 0
) -> dict[str, Path]:
    """Write every variant of a randomly initialised model, quantised without training.

    Returns
    -------
    variant -> packed file.
    """
    cfg = SynapNetEdgeConfig.from_dict(dict(shape))
    torch.manual_seed(seed)
    model = SynapNetEdge(cfg).eval()
    batch = torch.randint(0, cfg.vocab_size, CALIBRATION)
    statistics = None
    found: dict[str, Path] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in variants:
        variant = VARIANTS.get(name)
        if variant.budget is not None:
            # The bits are allocated as for a trained model; here they follow the random weights.
            budget = CAJQConfig(scope="full", byte_budget=variant.budget.bytes_for(model))
            quantised = apply_cajq(model, budget, [batch])
        else:
            if variant.needs_statistics and statistics is None:
                statistics = collect_statistics(model, [batch])
            quantised = apply_recipe(model, variant.recipe, statistics, loader=[batch])
        found[name] = folder / f"{name}.safetensors"
        save_quantized(quantised, quantised.quantization.recipe, found[name], variant=name)
    return found
