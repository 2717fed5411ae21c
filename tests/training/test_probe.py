"""Probes come when planned, see validation rows only, and change neither training nor its clock."""

from __future__ import annotations

import time

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.tasks import TASKS
from synapnet_edge.training import loop
from synapnet_edge.training.meter import Meter
from synapnet_edge.training.probe import COLUMNS, ROWS_SEED, wilson
from synapnet_edge.training.schedule import PretrainConfig, ProbePlan
from synapnet_edge.training.trainer import Trainer

TASK = "reference/niah_single"
SHAPE = SynapNetEdgeConfig(
    dim=16, depth=1, heads=2, chunk_len=16, episodic_slots=4, window=8, top_k=4, ff_hidden=16
)
SETTINGS = {
    "learning_rate": 1e-3,
    "warmup_steps": 1,
    "autocast": "off",
    "curriculum": [{"length": 32, "steps": 4, "batch": 2, "readouts": 2}],
    "chunk_lens": [16],
    "mixture": {TASK: 1.0},
}
PROBE = {"at": [0.01, 0.5, 1.0], "tasks": [TASK, "reference/fa"], "length": 64, "samples": 5}


def trained(tmp_path, **changes) -> Trainer:
    config = PretrainConfig.from_dict({**SETTINGS, **changes})
    trainer = Trainer(SHAPE, config, 1, torch.device("cpu"))
    trainer.run(tmp_path, progress=False)
    return trainer


def test_one_row_per_task_at_each_planned_share_of_the_steps(tmp_path):
    trainer = trained(tmp_path, probe=PROBE)
    rows = trainer.probes
    assert [(row["step"], row["task"]) for row in rows] == [
        (step, task) for step in (1, 2, 4) for task in PROBE["tasks"]
    ]
    assert all(set(row) == set(COLUMNS) for row in rows)
    assert [row["tokens"] for row in rows[::2]] == [64, 128, 256]
    assert all(0 <= row["ci_low"] <= row["score"] <= row["ci_high"] <= 1 for row in rows)
    assert rows[0]["core_seconds"] == rows[0]["seconds"] * torch.get_num_threads()


def test_probing_does_not_change_the_training(tmp_path):
    probed, plain = trained(tmp_path / "a", probe=PROBE, ema=0.9), trained(tmp_path / "b")
    for left, right in zip(probed.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(left, right)


def test_score_is_that_of_the_model_on_validation_rows(tmp_path):
    trainer = trained(tmp_path, probe=PROBE)
    rows = TASKS.get(TASK).rows(ROWS_SEED, PROBE["samples"], PROBE["length"], split="validation")
    with torch.no_grad():
        logits = trainer.model(torch.from_numpy(rows.input_ids), torch.from_numpy(rows.target_pos))
    expected = (logits.argmax(-1).numpy() == rows.targets).mean()
    assert trainer.probes[-2]["score"] == pytest.approx(expected)


def test_probes_score_the_averaged_weights_when_there_are_some(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        loop.probe.Probe, "run", lambda self, model, *rest: seen.append(model.head.weight.clone()) or []
    )
    trainer = trained(tmp_path, probe={**PROBE, "at": [1.0]}, ema=0.9)
    assert torch.equal(seen[0], trainer.weights()["head.weight"])
    assert not torch.equal(seen[0], trainer.model.head.weight)


def test_time_of_a_pause_is_not_training_time():
    meter = Meter([])
    before = meter.seconds
    with meter.paused():
        time.sleep(0.2)
    assert meter.seconds - before < 0.1


def test_interval_is_that_of_the_evaluation():
    for correct, n in [(0, 7), (3, 7), (7, 7), (50, 64)]:
        assert wilson(correct, n) == pytest.approx(tuple(wilson_interval(correct, n)))


def test_a_task_too_long_for_its_probe_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="needs a length"):
        trained(tmp_path, probe={**PROBE, "length": 4})


def test_a_share_outside_the_run_is_refused():
    with pytest.raises(ValueError, match="probe at: found 1.5"):
        ProbePlan(at=(1.5,))
