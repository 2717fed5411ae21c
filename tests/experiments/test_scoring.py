"""One arm of an experiment from training to its table, at a size of seconds."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.arms import shape_of, training_of
from synapnet_edge.artifacts import ArtifactError, read_tensors, write_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.config_files import load_config
from synapnet_edge.experiments import score_arm
from synapnet_edge.experiments.scoring import COLUMNS
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.training.loop import pretrain

CELLS = {"tasks": ["reference/niah_single"], "lengths": [64], "samples": 12, "test_seed": 7}


@pytest.fixture(scope="module")
def trained(repository, tmp_path_factory):
    """The arm `full` of the smoke configuration: (weights, facts of its training)."""
    config = load_config([repository / "config" / name for name in ("reference.yaml", "smoke.yaml")])
    folder = tmp_path_factory.mktemp("arm")
    shape = SynapNetEdgeConfig.from_dict(shape_of(config, "ablation", "full"))
    weights = folder / "model.safetensors"
    settings = training_of(config, "ablation", "full")
    facts = pretrain(shape, settings, 42, weights, folder / "history.csv", folder / "resume", progress=False)
    return weights, facts


def score(weights, facts, **changes):
    names = {"experiment": "ablation", "arm": "full", "seed": 42, "trained": facts, "progress": False}
    return score_arm(weights, CELLS, **{**names, **changes})


def test_the_table_says_what_was_trained_at_what_cost_and_how_it_scored(trained):
    table = score(*trained)
    assert list(table.columns) == COLUMNS
    row = table.iloc[0]
    assert (row["experiment"], row["arm"], row["seed"], row["n"]) == ("ablation", "full", 42, 12)
    model = SynapNetEdge(SynapNetEdgeConfig.from_dict(read_tensors(trained[0])[1]["config"]))
    assert row["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert row["train_tokens"] == trained[1]["tokens"] and row["train_seconds"] > 0
    assert row["ci_low"] <= row["score"] <= row["ci_high"]


def test_neutralised_bridges_are_plain_sums_and_the_file_keeps_its_weights(trained, tmp_path, monkeypatch):
    tensors, metadata = read_tensors(trained[0])
    bridged = {name: value for name, value in tensors.items() if ".bridge." in name}
    assert bridged
    generator = torch.Generator().manual_seed(0)
    for name, value in bridged.items():
        tensors[name] = value + torch.randn(value.shape, generator=generator)
    weights = tmp_path / "changed.safetensors"
    write_tensors(weights, tensors, metadata)
    seen = {}
    monkeypatch.setattr(
        "synapnet_edge.experiments.scoring.run_suite",
        lambda model, *args, **names: seen.update(model.state_dict()) or _empty(),
    )
    score(weights, trained[1], arm="bridge_removed", after=["neutralise_bridge"])
    for name in bridged:
        neutral = 1.0 if name.endswith(".gain") else 0.0
        assert (seen[name] == neutral).all(), name
    assert all(torch.equal(seen[name], tensors[name]) for name in tensors if name not in bridged)
    assert all(torch.equal(value, tensors[name]) for name, value in read_tensors(weights)[0].items())


def _empty():
    import pandas as pd

    return pd.DataFrame(columns=COLUMNS), None


def test_an_unknown_change_is_refused(trained):
    with pytest.raises(
        ValueError, match=r"after: found \['prune'\], expected some of \['neutralise_bridge'\]"
    ):
        score(*trained, after=["prune"])


def test_a_file_without_a_model_is_refused(tmp_path):
    write_tensors(tmp_path / "odd.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(ArtifactError, match="no model configuration"):
        score(tmp_path / "odd.safetensors", {"tokens": 1, "training_seconds": 1.0})
