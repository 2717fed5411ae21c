"""Tiny baselines with random weights."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.baselines import BASELINES, Shape

COMMON = {"vocab_size": 96, "num_classes": 8, "dim": 32}
SHAPES = {
    "llama": {"depth": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "ff_hidden": 48},
    "mamba2": {"depth": 3, "ssm_inner": 64, "ssm_head_dim": 16, "ssm_state": 8},
    "falcon_h1": {
        **{"depth": 2, "heads": 4, "kv_heads": 2, "head_dim": 4, "ff_hidden": 48},
        **{"ssm_inner": 32, "ssm_head_dim": 8, "ssm_state": 8},
    },
    "hymba": {
        **{"depth": 6, "heads": 4, "kv_heads": 2, "head_dim": 8, "ff_hidden": 48, "window": 6},
        **{"ssm_inner": 32, "ssm_head_dim": 8, "ssm_state": 4, "meta_tokens": 3},
    },
}


def shape_of(kind: str) -> Shape:
    return Shape(kind=kind, **COMMON, **SHAPES[kind])


def build(kind: str, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BASELINES.get(kind)(shape_of(kind)).eval()


@pytest.fixture
def ids():
    return torch.randint(0, 96, (2, 33), generator=torch.Generator().manual_seed(1))
