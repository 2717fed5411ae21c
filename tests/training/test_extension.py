"""A second training goes on from the finished model: own optimiser, own stages, batches not drawn before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from synapnet_edge.artifacts import read_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.training.blend import WeightBlend
from synapnet_edge.training.loop import pretrain
from synapnet_edge.training.schedule import PretrainConfig, draw_max_entries, phases, stage_at
from synapnet_edge.training.trainer import Trainer

MODEL = SynapNetEdgeConfig(
    dim=32, depth=1, heads=2, ff_hidden=32, chunk_len=16, episodic_slots=4, max_entries=16, window=8, top_k=4,
    max_len=256, vocab_size=4096, num_classes=64,
)  # fmt: skip
SETTINGS = {
    "learning_rate": 2e-3,
    "warmup_steps": 1,
    "curriculum": [{"length": 64, "steps": 4, "batch": 2, "readouts": 4}],
    "chunk_lens": [8, 16],
    "autocast": "off",
    "checkpoint_every": 1,
    "emphasis": 0.5,
    "mixture": {"reference/niah_single": 1.0, "reference/fa": 1.0},
}
EXTENSION = {
    "learning_rate": 1e-3,
    "curriculum": [
        {
            "length": 128, "steps": 2, "batch": 2, "readouts": 4, "least_entries": 4,
            "tasks": ["reference/fa"],
        },
        {"length": 128, "steps": 1, "batch": 2, "readouts": 4},
    ],
}  # fmt: skip


def run(folder, settings):
    folder.mkdir()
    weights, history = folder / "model.safetensors", folder / "history.csv"
    pretrain(MODEL, settings, 3, weights, history, folder / "resume", progress=False)
    return read_tensors(weights)[0], pd.read_csv(history)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    return run(tmp_path_factory.mktemp("extended") / "run", {**SETTINGS, "extensions": [EXTENSION]})


def test_without_one_there_is_one_phase_and_with_one_two():
    config = PretrainConfig.from_dict(SETTINGS)
    assert phases(config) == (config,)
    main, more = phases(PretrainConfig.from_dict({**SETTINGS, "extensions": [EXTENSION]}))
    assert main == config
    assert (more.steps, more.first_step, more.first_stage) == (3, 4, 1)
    assert (more.learning_rate, more.emphasis) == (1e-3, 0.5), "what it does not name is as in the training"


def test_a_second_extension_goes_on_from_the_first_and_differs_from_the_training_alone():
    second = {"curriculum": [{"length": 64, "steps": 2, "batch": 2, "readouts": 4}], "emphasis": 0.1}
    main, first, more = phases(PretrainConfig.from_dict({**SETTINGS, "extensions": [EXTENSION, second]}))
    assert (first.first_step, more.first_step) == (4, 7) and (first.first_stage, more.first_stage) == (1, 3)
    assert (more.learning_rate, more.emphasis, more.steps) == (main.learning_rate, 0.1, 2)
    assert not more.extensions


def test_entries_kept_are_those_of_the_stage():
    _, more = phases(PretrainConfig.from_dict({**SETTINGS, "extensions": [EXTENSION]}))
    kept = [
        [draw_max_entries(np.random.default_rng(i), more, step, 16) for i in range(50)] for step in (1, 2)
    ]
    assert stage_at(more, 0)[1].least_entries == 4 and 4 <= min(kept[0]) < max(kept[0]) <= 16
    assert set(kept[1]) == {16}, "the last stage keeps everything"


def test_the_history_goes_on(extended):
    _, history = extended
    assert history["step"].iloc[-1] == 7 and history["stage"].iloc[-1] == 2
    assert history["tokens"].is_monotonic_increasing and history["seconds"].is_monotonic_increasing


def test_it_is_what_a_training_from_the_stored_model_gives(extended, tmp_path):
    stored, _ = run(tmp_path / "main", SETTINGS)
    _, more = phases(PretrainConfig.from_dict({**SETTINGS, "extensions": [EXTENSION]}))
    trainer = Trainer(MODEL, more, 3, torch.device("cpu"))
    trainer.model.load_state_dict(stored)
    trainer.run(tmp_path / "resume", progress=False)
    assert same(trainer.weights(), extended[0])
    assert not same(stored, extended[0])


@pytest.mark.parametrize("at", [2, 5])
def test_a_killed_run_goes_on_in_its_phase(extended, tmp_path, monkeypatch, at):
    """Killed in the training and in the extension."""
    real, calls = Trainer.train_step, []

    def dies(self, step):
        calls.append(step)
        if len(calls) == at + 1:
            raise RuntimeError("killed")
        return real(self, step)

    monkeypatch.setattr(Trainer, "train_step", dies)
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "run", {**SETTINGS, "extensions": [EXTENSION]})
    (tmp_path / "run").rename(tmp_path / "old")
    monkeypatch.setattr(Trainer, "train_step", real)
    weights, history = tmp_path / "w.safetensors", tmp_path / "h.csv"
    settings = {**SETTINGS, "extensions": [EXTENSION]}
    pretrain(MODEL, settings, 3, weights, history, tmp_path / "old" / "resume", progress=False)
    assert same(read_tensors(weights)[0], extended[0])
    assert pd.read_csv(history)["step"].iloc[-1] == 7


def test_half_of_the_way_lies_between_both_ends(extended, tmp_path):
    start, _ = run(tmp_path / "main", SETTINGS)
    half, _ = run(tmp_path / "half", {**SETTINGS, "extensions": [{**EXTENSION, "blend": 0.5}]})
    for name, end in extended[0].items():
        assert torch.equal(half[name], torch.lerp(start[name], end, 0.5)), name


def test_what_follows_a_blend_goes_on_from_it(tmp_path):
    settings = {**SETTINGS, "extensions": [{**EXTENSION, "blend": 0.5}]}
    stored, _ = run(tmp_path / "one", settings)
    second = {"curriculum": [{"length": 64, "steps": 1, "batch": 2, "readouts": 4}], "learning_rate": 1e-12}
    after, _ = run(tmp_path / "two", {**settings, "extensions": [*settings["extensions"], second]})
    assert all(torch.allclose(after[name], stored[name], atol=1e-7) for name in stored)


def test_a_model_computes_with_its_blend_inside_the_block_alone():
    model = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
        blend = WeightBlend(model, 0.25)
        model.weight.fill_(5.0)
        with blend.applied():
            assert model(torch.tensor([1.0, 0.0])).item() == 2.0
        assert model(torch.tensor([1.0, 0.0])).item() == 5.0


def test_probing_a_blend_leaves_the_training_alone(tmp_path):
    probe = {"at": [1.0], "tasks": ["reference/fa"], "length": 64, "samples": 4}
    alone = {**SETTINGS, "extensions": [{**EXTENSION, "blend": 0.5}]}
    assert same(run(tmp_path / "a", alone)[0], run(tmp_path / "b", {**alone, "probe": probe})[0])


def test_a_blend_without_a_beginning_is_refused():
    with pytest.raises(ValueError, match="blend: found 0.5, expected 1 without an extension"):
        PretrainConfig.from_dict({**SETTINGS, "blend": 0.5})
    averaged = {**SETTINGS, "ema": 0.9, "extensions": [{**EXTENSION, "blend": 0.5}]}
    with pytest.raises(ValueError, match="or with ema > 0"):
        phases(PretrainConfig.from_dict(averaged))
