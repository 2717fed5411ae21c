"""The large configuration is what it says, as far as a machine without its GPU can tell."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.config_files import load_config, validate_config
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.training.schedule import PretrainConfig, learning_rate_at


@pytest.fixture(scope="module")
def config(repository):
    files = [repository / "config" / name for name in ("reference.yaml", "large.yaml")]
    return validate_config(load_config(files), files)


def test_model_has_121_million_parameters(config):
    shape = SynapNetEdgeConfig.from_dict(config["models"]["large"])
    assert (shape.dim, shape.depth, shape.heads) == (640, 10, 10)
    with torch.device("meta"):
        model = SynapNetEdge(shape)
    assert abs(sum(parameter.numel() for parameter in model.parameters()) - 121e6) < 2e6


def test_training_is_planned_for_one_gpu(config):
    settings = PretrainConfig.from_dict(config["pretrain"])
    assert config["device"] == "cuda" and settings.processes == 1
    assert config["run"]["models"] == ["large"] == [config["eviction"]["model"]]
    assert len({stage.length * stage.batch for stage in settings.curriculum}) == 1
    assert learning_rate_at(settings, settings.warmup_steps) == settings.learning_rate
