"""Training of baselines: the reference model's batches, resumable, swept, and stored by the same code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from synapnet_edge.baselines.files import load_any, load_baseline
from synapnet_edge.baselines.quantize import quantize_baseline
from synapnet_edge.baselines.sweep import chosen_rate, sweep
from synapnet_edge.baselines.train import BaselineTrainer, fitted_shape, train_baseline
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.tasks import Mixture
from synapnet_edge.training.schedule import PretrainConfig
from synapnet_edge.training.trainer import Trainer

REFERENCE = {
    **{"dim": 64, "depth": 2, "heads": 2, "max_len": 512, "episodic_slots": 4, "max_entries": 32},
    **{"chunk_len": 16, "window": 8, "top_k": 4, "ff_hidden": 64},
}
SIZES = {"dim": 64, "depth": 1, "heads": 2, "kv_heads": 1, "head_dim": 16}
SETTINGS = {
    "learning_rate": 2e-3,
    "warmup_steps": 2,
    "curriculum": [{"length": 64, "steps": 6, "batch": 4, "readouts": 4}],
    "chunk_lens": [8, 16],
    "autocast": "off",
    "checkpoint_every": 3,
    "mixture": {"reference/niah_single": 1.0, "reference/niah_multi_key": 1.0},
}


@pytest.fixture(scope="module")
def shape():
    return fitted_shape("llama", SIZES, REFERENCE)


@pytest.fixture(scope="module")
def trained(shape, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    paths = (folder / "model.safetensors", folder / "history.csv", folder / "resume")
    facts = train_baseline(shape, REFERENCE, SETTINGS, 1e-3, 1, *paths, progress=False)
    return paths[0], facts


def test_fitted_shape_has_the_reference_parameters(shape):
    count = sum(p.numel() for p in SynapNetEdge(SynapNetEdgeConfig.from_dict(REFERENCE)).parameters())
    from synapnet_edge.baselines import count_parameters

    assert abs(count_parameters(shape) / count - 1) <= 0.05


@pytest.mark.parametrize("extra", [{}, {"least_entries": 4}, {"emphasis": 0.5}, {"processes": 2}])
def test_batches_are_those_of_the_reference_model(shape, monkeypatch, extra):
    seen = []
    real = Mixture.batch

    def spy(self, *arguments, **named):
        seen.append(real(self, *arguments, **named))
        return seen[-1]

    monkeypatch.setattr(Mixture, "batch", spy)
    config, reference = (
        PretrainConfig.from_dict({**SETTINGS, **extra}),
        SynapNetEdgeConfig.from_dict(REFERENCE),
    )
    BaselineTrainer(shape, reference, config, 5, torch.device("cpu")).train_step(3)
    if config.processes == 1:
        Trainer(reference, config, 5, torch.device("cpu")).train_step(3)
        assert np.array_equal(seen[0].input_ids, seen[1].input_ids)
        assert np.array_equal(seen[0].targets, seen[1].targets)
    else:
        assert len(seen[0]) == 8, "the batches of all processes"


def test_extensions_of_the_reference_model_are_theirs_too(shape, tmp_path):
    stage = {"length": 64, "steps": 2, "batch": 2, "readouts": 4, "haystack": 64, "draws": 4}
    settings = {**SETTINGS, "extensions": [{"curriculum": [stage], "blend": 0.5}]}
    paths = (tmp_path / "model.safetensors", tmp_path / "history.csv", tmp_path / "resume")
    train_baseline(shape, REFERENCE, settings, 1e-3, 1, *paths, progress=False)
    history = pd.read_csv(paths[1])
    assert history["step"].iloc[-1] == 8 and load_baseline(paths[0]).training is False


def test_training_learns_and_reports(trained):
    path, facts = trained
    model = load_baseline(path)
    assert facts["learning_rate"] == 1e-3 and facts["tokens"] == 6 * 4 * 64
    assert sum(facts["parameters"].values()) == sum(p.numel() for p in model.parameters())
    assert not (path.parent / "resume").exists()


def test_an_interrupted_run_ends_as_an_uninterrupted_one(shape, trained, tmp_path, monkeypatch):
    step = BaselineTrainer.train_step

    def stopping(self, index):
        if index == 4:
            raise KeyboardInterrupt
        return step(self, index)

    paths = (tmp_path / "model.safetensors", tmp_path / "history.csv", tmp_path / "resume")
    monkeypatch.setattr(BaselineTrainer, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_baseline(shape, REFERENCE, SETTINGS, 1e-3, 1, *paths, progress=False)
    monkeypatch.setattr(BaselineTrainer, "train_step", step)
    train_baseline(shape, REFERENCE, SETTINGS, 1e-3, 1, *paths, progress=False)
    first, second = load_baseline(trained[0]), load_baseline(paths[0])
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_sweep_chooses_the_least_loss_and_survives_divergence(shape):
    table = sweep(shape, REFERENCE, SETTINGS, [0.3, 1.0, 1e30], 1.0, 1, progress=False)
    assert list(table["rate"]) == [0.3, 1.0, 1e30] and table["chosen"].sum() == 1
    assert table.loc[2, "loss"] == float("inf") and not table.loc[2, "chosen"]
    best = table.loc[table["loss"].idxmin()]
    assert chosen_rate(table) == best["learning_rate"] == pytest.approx(best["rate"] * 2e-3)


def test_variants_are_packed_by_the_same_code_and_load_again(trained, tmp_path):
    path, _ = trained
    names = ["fp16", "int8", "int4"]
    calibration = {"n_samples": 2, "seq_len": 64, "batch_size": 2, "mixture": SETTINGS["mixture"]}
    files, ledgers = ([tmp_path / f"{n}.{end}" for n in names] for end in ("safetensors", "csv"))
    quantize_baseline(path, names, calibration, 1, files, ledgers)
    sizes = [pd.read_csv(ledger)["bytes"].sum() for ledger in ledgers]
    assert sizes[0] > 1.8 * sizes[1] > 3.0 * sizes[2]
    ids = torch.randint(5, 4000, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact, half, coarse = (load_any(file)(ids) for file in (path, files[0], files[2]))
    assert torch.allclose(exact, half, atol=0.02) and not torch.allclose(exact, coarse, atol=1e-4)


def test_a_variant_that_trains_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match=r"baselines.variants: found \['cajq_qat'\]"):
        quantize_baseline(trained[0], ["cajq_qat"], {}, 1, [tmp_path / "a"], [tmp_path / "b"])
