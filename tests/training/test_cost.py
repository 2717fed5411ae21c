"""What the manifest says about speed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synapnet_edge.training import cost
from synapnet_edge.training.parallel import Ranks


def test_share_of_the_peak_is_six_flops_per_weight_and_token(monkeypatch):
    model = nn.Sequential(nn.Embedding(100, 4), nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2, bias=False))
    monkeypatch.setattr(cost, "matmul_peak", lambda *_: 1e6)
    facts = cost.training_cost(model, 1000, 2.0, Ranks(), torch.device("cpu"), bfloat16=False)
    assert facts["matmul_parameters"] == 4 * 8 + 8 * 2
    assert facts["tokens_per_second"] == 500
    assert facts["matmul_share"] == pytest.approx(6 * 48 * 500 / 1e6)
    assert facts["training_core_seconds"] == 2.0 * facts["threads"]


def test_measured_peak_is_a_plausible_number_of_flops():
    assert 1e8 < cost.matmul_peak(torch.device("cpu"), bfloat16=False) < 1e14
