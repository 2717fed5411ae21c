"""A tiny model whose norms and inputs have outlier channels, and calibration data for it."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.quantization.statistics import collect_statistics

SMALL = SynapNetEdgeConfig(
    dim=64, depth=1, vocab_size=64, heads=2, episodic_slots=4, chunk_len=16, window=8, top_k=4, ff_hidden=64
)


@pytest.fixture(scope="session")
def calibration():
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 64, (2, 40), generator=generator) for _ in range(3)]


@pytest.fixture(scope="session")
def outlier_model():
    torch.manual_seed(0)
    model = SynapNetEdge(SMALL).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter[3] = 40.0
                parameter[17] = 8.0
            if name.endswith(("bridge.gate", "found_gain")):
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


@pytest.fixture(scope="session")
def outlier_statistics(outlier_model, calibration):
    return collect_statistics(outlier_model, calibration)
