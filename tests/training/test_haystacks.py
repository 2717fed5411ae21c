"""Rows behind a haystack: the memory a long context would have left, kept up from step to step."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.tasks import Mixture
from synapnet_edge.tasks.haystacks import HAYSTACKS
from synapnet_edge.tasks.layout import BOS
from synapnet_edge.training.haystacks import Haystacks
from synapnet_edge.training.schedule import PretrainConfig
from synapnet_edge.training.trainer import Trainer

MODEL = SynapNetEdgeConfig(
    dim=32, depth=2, heads=2, ff_hidden=32, chunk_len=16, episodic_slots=4, max_entries=16, window=8, top_k=4,
    max_len=256, vocab_size=4096, num_classes=64,
)  # fmt: skip
SETTINGS = {
    "learning_rate": 2e-3,
    "warmup_steps": 1,
    "curriculum": [{"length": 64, "steps": 12, "batch": 2, "readouts": 4, "haystack": 256}],
    "chunk_lens": [8, 16],
    "autocast": "off",
    "checkpoint_every": 100,
    "salience_weight": 0.3,
    "mixture": {"reference/niah_single": 1.0, "ruler/niah_multikey_1": 1.0},
}
NAMES = list(SETTINGS["mixture"])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SynapNetEdge(MODEL).eval()


def drawn(seed=0, names=NAMES):
    return Mixture(dict.fromkeys(names, 1.0)).batch(np.random.default_rng(seed), 4, 64, 4)


def kinds_of(rows, names=NAMES):
    return Mixture(dict.fromkeys(names, 1.0)).haystacks(rows)


def some_store(haystacks, tokens=10**9, most=16):
    """The store of the first step whose rows stand behind a haystack, and its rows."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        rows = drawn()
        store = haystacks.stand_behind(rows.input_ids, kinds_of(rows), tokens, most, rng)
        if store is not None:
            return store, rows
    raise AssertionError("no step stood behind a haystack")


def test_rows_begin_with_a_full_memory_of_their_kind(model):
    haystacks = Haystacks(model)
    store, rows = some_store(haystacks, most=8)
    for layer in range(MODEL.depth):
        keys, _, salience, positions = store.entries(layer)
        assert keys.shape[:3] == (4, 2, 8) and not keys.requires_grad
        for row, kind in enumerate(kinds_of(rows)):
            everything = haystacks._states[kind].store.entries(layer)
            best = everything[2][0].topk(8)
            assert torch.equal(salience[row].sort().values, best.values.sort().values)
            assert set(positions[row].tolist()) == set(everything[3][0][best.indices].tolist())
    assert (rows.input_ids[:, 0] != BOS).all(), "the haystack has the beginning"


def test_pieces_leave_the_memory_of_one_long_context(model):
    haystacks = Haystacks(model)
    ids = np.random.default_rng(2).integers(100, 4096, 4 * haystacks._piece())
    haystacks._states["reference"] = haystacks._begun()
    for piece in np.split(ids, 4):
        haystacks._read("reference", piece)
    whole = haystacks._begun()
    with torch.no_grad():
        model.step(torch.as_tensor(ids)[None], whole)
    for layer in range(MODEL.depth):
        pieces, at_once = (x.store.entries(layer) for x in (haystacks._states["reference"], whole))
        assert torch.equal(pieces[3], at_once[3]), "the same tokens are kept"
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(pieces[:3], at_once[:3], strict=True))


def test_a_token_has_the_highest_prior_of_those_drawn(model):
    haystacks = Haystacks(model)
    ids = haystacks._of_highest_prior("reference", np.random.default_rng(3), 50, 8)
    drawn_ids = HAYSTACKS["reference"](np.random.default_rng(3), 400).reshape(50, 8)
    prior = model.embed.prior.detach().numpy()
    expected = [max(row, key=lambda token: prior[token]) for row in drawn_ids]
    assert ids.tolist() == expected
    alone = haystacks._of_highest_prior("guarded", np.random.default_rng(3), 50, 1)
    assert np.array_equal(alone, HAYSTACKS["guarded"](np.random.default_rng(3), 50)), "as before with one"


def test_draws_leave_a_memory_of_the_priors_of_a_longer_haystack(model):
    """With a salience that is a function of the prior alone."""
    with torch.no_grad():
        model.blocks[0].salience.score.weight.zero_()
    prior = model.embed.prior.detach().numpy()

    def kept(tokens, draws):
        haystacks, rng = Haystacks(model), np.random.default_rng(0)
        haystacks._states["reference"], seen = haystacks._begun(), []
        for _ in range(tokens // haystacks._piece()):
            seen.append(haystacks._of_highest_prior("reference", rng, haystacks._piece(), draws))
            haystacks._read("reference", seen[-1])
        positions = haystacks._states["reference"].store.entries(0)[3][0]
        return prior[np.concatenate(seen)[positions]].mean()

    piece = Haystacks(model)._piece()
    long, short, drawn_of_many = kept(64 * piece, 1), kept(4 * piece, 1), kept(4 * piece, 16)
    assert abs(drawn_of_many - long) < 0.1 * (long - short)


def test_every_order_of_magnitude_of_draws_comes_up(model, monkeypatch):
    haystacks, rng, rows, seen, crowds = Haystacks(model), np.random.default_rng(0), drawn(), [], []
    real = Haystacks._of_highest_prior

    def noted(self, kind, rng, tokens, draws, crowded):
        (crowds if crowded else seen).append(draws)
        return real(self, kind, rng, tokens, draws, crowded)

    monkeypatch.setattr(Haystacks, "_of_highest_prior", noted)
    for _ in range(120):
        haystacks.stand_behind(rows.input_ids.copy(), kinds_of(rows), 256, 16, rng, draws=64)
    assert min(seen) == 1 and 32 < max(seen) <= 64
    assert 0.3 < np.mean(np.array(seen) <= 8) < 0.7, "log-uniform"
    assert min(crowds) == 1 and 4 < max(crowds) <= 8 and 0.3 < len(crowds) / len(seen + crowds) < 0.7


def test_a_task_without_one_leaves_the_step_alone(model):
    names = [*NAMES, "ruler/cwe"]
    haystacks = Haystacks(model)
    rng = np.random.default_rng(0)
    for seed in range(20):
        rows = drawn(seed, names)
        before = rows.input_ids.copy()
        store = haystacks.stand_behind(rows.input_ids, kinds_of(rows, names), 256, 16, rng)
        if 2 in rows.meta["task"]:
            assert store is None and np.array_equal(before, rows.input_ids)


def test_it_begins_anew_as_often_as_the_mean_length_says(model):
    haystacks, rng, begun, rows = Haystacks(model), np.random.default_rng(0), 0, drawn()
    for _ in range(200):
        before = haystacks._states.get("reference")
        haystacks.stand_behind(rows.input_ids, kinds_of(rows), 8 * haystacks._piece(), 16, rng)
        begun += haystacks._states["reference"] is not before
    assert 12 <= begun <= 45, "one in eight steps"


def test_gradients_reach_the_weights_through_the_row_alone():
    trainer = Trainer(MODEL, PretrainConfig.from_dict(SETTINGS), 3, torch.device("cpu"))
    losses = [trainer.train_step(step)["loss"] for step in range(6)]
    assert np.isfinite(losses).all()
    assert not any(tensor.requires_grad for tensor in trainer.haystacks.tensors().values())


def test_a_run_resumed_in_the_middle_of_a_haystack_ends_the_same(tmp_path, monkeypatch):
    def trained(folder, steps=None):
        trainer = Trainer(MODEL, PretrainConfig.from_dict(SETTINGS), 3, torch.device("cpu"))
        if steps is not None:
            real, calls = Trainer.train_step, []

            def interrupted(self, step):
                calls.append(step)
                if len(calls) == steps:
                    os.kill(os.getpid(), signal.SIGINT)
                return real(self, step)

            with monkeypatch.context() as patched:
                patched.setattr(Trainer, "train_step", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    trainer.run(folder, progress=False)
            return None
        trainer.run(folder, progress=False)
        return trainer.weights()

    expected = trained(tmp_path / "whole")
    trained(tmp_path / "cut", steps=7)
    found = trained(tmp_path / "cut")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
