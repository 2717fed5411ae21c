"""Several processes train as one would with their rows together, and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
import torch
from torch import nn

from synapnet_edge.artifacts import read_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.config_files import ConfigError, load_config, validate_config
from synapnet_edge.training import parallel
from synapnet_edge.training.loop import pretrain
from synapnet_edge.training.parallel import ParallelError, Ranks, launch
from synapnet_edge.training.schedule import PretrainConfig
from synapnet_edge.training.trainer import Trainer

SHAPE = SynapNetEdgeConfig(
    dim=16, depth=1, heads=2, chunk_len=16, episodic_slots=4, window=8, top_k=4, ff_hidden=16
)
SETTINGS = {
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "autocast": "off",
    "checkpoint_every": 1,  # also writes a row of the history for every step
    "chunk_lens": [8, 16],
    "ema": 0.9,
    "emphasis": 0.5,
    "probe": {"at": [0.5, 1.0], "tasks": ["reference/niah_single"], "length": 32, "samples": 5},
    # Two tasks with different numbers of read-outs: a mean of the processes' means would be another loss.
    "mixture": {"reference/niah_single": 1.0, "reference/variable_track": 1.0},
}
# The same float32 sums in another order differ by about 1e-7 of a gradient. Adam divides by the gradient's
# own size, so where a gradient is nearly zero, that error can become a visible part of a step of 1e-3.
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-4, 1e-4


def settings(processes: int, batch: int) -> dict:
    curriculum = [{"length": 32, "steps": 3, "batch": batch, "readouts": 2}]
    curriculum += [{"length": 64, "steps": 3, "batch": batch, "readouts": 4, "haystack": 512}]
    return {**SETTINGS, "curriculum": curriculum, "processes": processes}


def run(folder, processes: int, batch: int, **changes):
    files = (folder / "model.safetensors", folder / "history.csv", folder / "resume")
    facts = pretrain(SHAPE, {**settings(processes, batch), **changes}, 1, *files, progress=False)
    return facts, read_tensors(files[0])[0], pd.read_csv(files[1]), pd.read_csv(folder / "probe.csv")


def test_two_processes_equal_one_with_twice_the_batch_also_after_a_resume(tmp_path, monkeypatch):
    _, alone, history, probe = run(tmp_path / "one", 1, 8)

    # A checkpoint of the single process after 3 steps, continued by two.
    train_step = Trainer.train_step

    def stop_at_three(self, step):
        if step == 3:
            raise KeyboardInterrupt
        return train_step(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", stop_at_three)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", 1, 8)
    saved = read_tensors(tmp_path / "resumed" / "resume" / "checkpoint.safetensors")[1]
    assert saved["step"] == 3 and len(saved["probe"]) == 1

    for name in ("fresh", "resumed"):
        facts, weights, curve, probed = run(tmp_path / name, 2, 4)
        assert facts["processes"] == 2 and facts["tokens"] == history["tokens"].iloc[-1]
        assert curve["step"].tolist() == [1, 2, 3, 4, 5, 6]
        assert curve["loss"].tolist() == pytest.approx(history["loss"].tolist(), abs=LOSS_TOLERANCE)
        for column in ("accuracy", "tokens", "learning_rate", "write_share"):
            assert curve[column].tolist() == pytest.approx(history[column].tolist()), column
        assert probed["step"].tolist() == probe["step"].tolist() and probed["n"].tolist() == [5, 5]
        for key, tensor in alone.items():
            assert torch.allclose(weights[key], tensor, atol=WEIGHT_TOLERANCE, rtol=0), (name, key)
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [
            "history.csv", "model.safetensors", "probe.csv",
        ]  # fmt: skip


RANKS = """
import os, signal, sys, time
from pathlib import Path
from synapnet_edge.training.interrupts import DeferredInterrupt
from synapnet_edge.training.parallel import run_rank

def target(job, ranks):
    folder = Path(job["folder"])
    with DeferredInterrupt() as interrupt:
        for step in range(600):
            if job["dies"] and step == 3 and ranks.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            stop = ranks.any(interrupt.requested or ranks.orphaned)
            (folder / f"rank{ranks.rank}").write_text(str(os.getpid()))
            if stop:
                (folder / f"stopped{ranks.rank}").touch()
                ranks.any(False)
                raise KeyboardInterrupt("as asked")
            time.sleep(0.05)

run_rank(target)
"""
LAUNCH = """
import sys
from synapnet_edge.training.parallel import launch
launch("ranks_of_a_test", {"folder": sys.argv[1], "dies": False}, 2, 1)
"""


@pytest.fixture
def module(tmp_path, monkeypatch) -> str:
    """A module for `launch` whose processes count steps until they are told to stop."""
    (tmp_path / "ranks_of_a_test.py").write_text(RANKS)
    paths = [str(tmp_path), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return "ranks_of_a_test"


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def test_a_killed_process_ends_the_others_with_its_rank_in_the_message(tmp_path, module):
    with pytest.raises(ParallelError, match=r"2 processes failed; the same command resumes") as caught:
        launch(module, {"folder": str(tmp_path), "dies": True}, 2, 1)
    assert "rank 1: ended without a message (killed?)" in str(caught.value)
    assert not psutil.pid_exists(int((tmp_path / "rank0").read_text()))


def test_an_interrupt_of_the_launcher_stops_all_processes_in_order(tmp_path, module):
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    wait_for(lambda: (tmp_path / "rank0").exists() and (tmp_path / "rank1").exists())
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode != 0, output
    assert (tmp_path / "stopped0").exists() and (tmp_path / "stopped1").exists()
    assert not any(psutil.pid_exists(int((tmp_path / f"rank{i}").read_text())) for i in (0, 1))


def test_processes_notice_that_their_launcher_is_gone():
    launcher = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ranks = Ranks(0, 2, psutil.Process(launcher.pid))
    assert not ranks.orphaned
    launcher.kill()
    wait_for(lambda: ranks.orphaned)  # dead, though nobody has waited for it yet
    launcher.wait()
    assert ranks.orphaned and not Ranks().orphaned


def test_gradients_are_summed_and_unused_parameters_count_as_zero(monkeypatch):
    used, unused, elsewhere = (nn.Parameter(torch.ones(2)) for _ in range(3))
    used.grad = torch.tensor([1.0, 2.0])

    def other_process(flat):
        """It used the first and the third parameter, and adds 10 everywhere it has something."""
        flat += torch.tensor([10.0, 10, 0, 0, 10, 10] + [1.0, 0, 1] + [10.0])

    monkeypatch.setattr(parallel.dist, "all_reduce", other_process)
    sums = Ranks(0, 2).sum_gradients([used, unused, elsewhere], torch.tensor([5.0]))
    assert sums.tolist() == [15]
    assert used.grad.tolist() == [11, 12] and elsewhere.grad.tolist() == [10, 10]
    assert unused.grad is None


def test_rows_are_shared_in_equal_parts():
    assert [Ranks(rank, 2).part(6) for rank in (0, 1)] == [slice(0, 3), slice(3, 6)]
    with pytest.raises(ValueError, match="found 5 rows"):
        Ranks(0, 2).part(5)


def test_processes_are_refused_where_a_gpu_trains(repository):
    files = [repository / "config" / "reference.yaml"]
    config = load_config(files)
    config |= {"device": "cuda", "pretrain": {**config["pretrain"], "processes": 2}}
    with pytest.raises(ConfigError, match=r"pretrain\.processes: found 2, expected 1 with device: cuda"):
        validate_config(config, files)


def test_a_trainer_with_too_few_processes_is_refused():
    config = PretrainConfig.from_dict(settings(2, 4))
    with pytest.raises(ValueError, match="processes: found 2, expected 1"):
        Trainer(SHAPE, config, 1, torch.device("cpu"))
