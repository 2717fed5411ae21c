"""Pretraining is a function of its seed, survives being killed, and stops when it diverges."""

import json
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from synapnet_edge.artifacts import read_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.training.loop import pretrain
from synapnet_edge.training.objective import DivergedError, use_bfloat16
from synapnet_edge.training.schedule import (
    PretrainConfig,
    draw_max_entries,
    draw_write_share,
    learning_rate_at,
    least_write_share_at,
    stage_at,
)
from synapnet_edge.training.trainer import Trainer

SHAPE = {
    "dim": 16, "depth": 1, "heads": 2, "chunk_len": 16, "episodic_slots": 4, "window": 8, "top_k": 4,
    "ff_hidden": 16,
}  # fmt: skip
SETTINGS = {
    "learning_rate": 1e-3,
    "warmup_steps": 3,
    "autocast": "off",
    "checkpoint_every": 4,
    "curriculum": [
        {"length": 32, "steps": 6, "batch": 4, "readouts": 2},
        {"length": 64, "steps": 6, "batch": 2, "readouts": 4},
    ],
    "chunk_lens": [8, 16],
    "write_share_anneal_steps": 5,
    "ema": 0.9,
    "emphasis": 0.5,
    "probe": {"at": [0.5, 1.0], "tasks": ["reference/niah_single"], "length": 32, "samples": 4},
    "mixture": {
        "reference/niah_single": 1.0,
        "reference/niah_multi_key": 0.0,
        "reference/variable_track": 1.0,
    },
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(folder, seed=1, **changes):
    folder.mkdir(exist_ok=True)
    pretrain(
        SynapNetEdgeConfig(**SHAPE),
        {**SETTINGS, **changes},
        seed,
        folder / "model.safetensors",
        folder / "history.csv",
        folder / "resume",
        progress=False,
    )
    return read_tensors(folder / "model.safetensors")[0], pd.read_csv(folder / "history.csv")


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_the_seed_decides_everything(tmp_path):
    first, history = run(tmp_path / "a")
    again, _ = run(tmp_path / "b")
    other, _ = run(tmp_path / "c", seed=2)
    assert same(first, again)
    assert not same(first, other)
    assert history["step"].iloc[-1] == 12
    assert history["tokens"].iloc[-1] == 6 * 4 * 32 + 6 * 2 * 64


def test_a_finished_run_leaves_no_checkpoint_behind(tmp_path):
    run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "history.csv",
        "model.safetensors",
        "probe.csv",
    ]


KILLED = """
import json, os, signal, sys
import torch
from pathlib import Path
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.training import loop
torch.set_num_threads(1)
shape, settings, folder, number = json.loads(sys.argv[1])
folder = Path(folder)
train_step = loop.Trainer.train_step
def step_then_die(self, step):
    if step == 9:
        os.kill(os.getpid(), number)
    return train_step(self, step)
loop.Trainer.train_step = step_then_die
loop.pretrain(SynapNetEdgeConfig(**shape), settings, 1, folder / "model.safetensors", folder / "history.csv",
              folder / "resume", progress=False)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_and_restarted_run_equals_an_uninterrupted_one(tmp_path, number):
    whole, _ = run(tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    argument = json.dumps([SHAPE, SETTINGS, str(folder), int(number)])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, argument], capture_output=True, text=True, check=False
    )
    assert killed.returncode != 0, killed.stderr
    assert not (folder / "model.safetensors").exists()
    saved = json.loads(read_tensors_metadata(folder / "resume" / "checkpoint.safetensors"))
    assert saved["step"] == (8 if number == signal.SIGKILL else 10)
    resumed, history = run(folder)
    assert same(resumed, whole), "weights, or their average, differ"
    probes = [pd.read_csv(path / "probe.csv") for path in (folder, tmp_path / "whole")]
    timeless = [table.drop(columns=["seconds", "core_seconds"]) for table in probes]
    pd.testing.assert_frame_equal(*timeless, check_exact=True)
    assert timeless[0]["step"].tolist() == [6, 12]
    assert history["step"].is_monotonic_increasing and history["step"].iloc[-1] == 12


def read_tensors_metadata(path):
    return json.dumps(read_tensors(path)[1])


def test_divergence_stops_with_the_step_and_a_remedy(tmp_path):
    with pytest.raises(DivergedError, match=r"step \d+.*lower the learning rate"):
        run(tmp_path, learning_rate=1e30, warmup_steps=0, clip_norm=1e30)


def test_batches_do_not_depend_on_what_ran_before():
    config = PretrainConfig.from_dict(SETTINGS)
    trainer = Trainer(SynapNetEdgeConfig(**SHAPE), config, 1, torch.device("cpu"))
    losses = [trainer.train_step(step)["loss"] for step in (0, 1)]
    fresh = Trainer(SynapNetEdgeConfig(**SHAPE), config, 1, torch.device("cpu"))
    assert fresh.train_step(0)["loss"] == losses[0]


def test_schedule_warms_up_decays_and_anneals():
    config = PretrainConfig.from_dict(SETTINGS)
    rates = [learning_rate_at(config, step) for step in range(config.steps)]
    assert rates[:3] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3])
    assert all(later <= earlier for earlier, later in zip(rates[2:], rates[3:], strict=False))
    assert least_write_share_at(config, 0, 0.25) == 1.0
    assert least_write_share_at(config, 5, 0.25) == least_write_share_at(config, 11, 0.25) == 0.25
    drawn = [draw_write_share(np.random.default_rng(seed), 0.25) for seed in range(200)]
    assert 0.25 <= min(drawn) < 0.3 and 0.9 < max(drawn) <= 1.0
    assert abs(np.log(drawn).mean() - np.log(0.5)) < 0.1, "even in the logarithm"
    assert [stage_at(config, step)[0] for step in (0, 5, 6, 11)] == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="beyond"):
        stage_at(config, 12)


def test_a_step_keeps_between_the_least_and_all_entries():
    config = PretrainConfig.from_dict({**SETTINGS, "least_entries": 8, "write_share_anneal_steps": 10})
    rng = np.random.default_rng(0)
    assert draw_max_entries(rng, config, 0, 64) == 64, "annealed: nothing is dropped before reads are learned"
    drawn = [draw_max_entries(rng, config, 10, 64) for _ in range(300)]
    assert min(drawn) in (8, 9) and max(drawn) > 56 and abs(np.median(drawn) - 8 * 8**0.5) < 4
    assert draw_max_entries(rng, PretrainConfig.from_dict(SETTINGS), 10, 64) == 64
    assert draw_max_entries(rng, config, 10, 8) == 8, "a model that keeps no more than that"


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="autocast: found 'fp8'"):
        use_bfloat16("fp8", torch.device("cpu"))


def test_chunk_lengths_beyond_the_model_are_refused():
    config = PretrainConfig.from_dict({**SETTINGS, "chunk_lens": [64]})
    with pytest.raises(ValueError, match="chunk_lens"):
        Trainer(SynapNetEdgeConfig(**SHAPE), config, 1, torch.device("cpu"))


def test_a_stage_draws_its_own_tasks_and_the_next_one_all():
    stages = [
        {"length": 32, "steps": 3, "batch": 4, "readouts": 2, "tasks": ["reference/niah_single"]},
        {"length": 32, "steps": 3, "batch": 4, "readouts": 2},
    ]
    config = PretrainConfig.from_dict({**SETTINGS, "curriculum": stages})
    trainer = Trainer(SynapNetEdgeConfig(**SHAPE), config, 1, torch.device("cpu"))
    drawn, batch = [], trainer.mixture.batch

    def watched(*arguments):
        drawn.append(batch(*arguments))
        return drawn[-1]

    trainer.mixture.batch = watched
    for step in range(6):
        trainer.train_step(step)
    tasks = [set(part.meta["task"]) for part in drawn]
    assert tasks[:3] == [{0}] * 3 and set.union(*tasks[3:]) == {0, 1}


def test_tasks_of_a_stage_must_be_in_the_mixture():
    stages = [{"length": 32, "steps": 3, "batch": 4, "readouts": 2, "tasks": ["reference/fa"]}]
    with pytest.raises(ValueError, match=r"curriculum stage 0, tasks: found \['reference/fa'\]"):
        PretrainConfig.from_dict({**SETTINGS, "curriculum": stages})
