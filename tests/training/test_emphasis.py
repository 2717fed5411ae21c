"""Weights of a mixture follow the losses of its tasks."""

import math

import numpy as np
import pytest
import torch

from synapnet_edge.tasks import TASKS, Mixture
from synapnet_edge.tasks.base import IGNORE
from synapnet_edge.training.emphasis import MEMORY, Emphasis, task_sums


def test_losses_are_added_up_by_task_in_units_of_a_guess():
    logits = torch.zeros(3, 2, 4)
    logits[1, 0, 2] = math.log(5)  # probability 5 / 8, the other read-out 1 / 4
    targets = torch.tensor([[0, IGNORE], [2, 3], [1, 1]])
    sums = task_sums(logits, targets, torch.tensor([2, 0, 2]), 3).tolist()
    first = (math.log(8 / 5) + math.log(4)) / math.log(4)
    assert sums == pytest.approx([first, 0, 3, 2, 0, 3])


def test_a_solved_task_is_drawn_less_and_an_unseen_one_fully():
    emphasis = Emphasis({"solved": 0.0, "unseen": 0.0, "hard": 0.0}, 0.8)
    for _ in range(400):
        emphasis.update([0.0, 0.0, 30.0, 6.0, 0.0, 6.0])
    factors = emphasis.factors()
    assert factors["solved"] == pytest.approx(0.2, abs=1e-4)
    assert factors["unseen"] == factors["hard"] == 1.0, "a loss above a guess's counts as one"


def test_one_step_by_hand_and_no_strength_no_change():
    emphasis = Emphasis({"a": 0.0}, 0.5)
    emphasis.update([2.0, 8.0])
    assert emphasis.factors()["a"] == pytest.approx(1 - 0.5 * (1 - (MEMORY + (1 - MEMORY) * 0.25)))
    fixed = Emphasis({"a": 0.0}, 0.0)
    fixed.update([0.0, 5.0])
    assert fixed.factors() == {"a": 1.0}
    with pytest.raises(ValueError, match="less than 1"):
        Emphasis({"a": 0.0}, 1.0)


def test_a_task_of_several_right_answers_is_solved_at_its_own_least_loss():
    task = TASKS.get("ruler/cwe")
    assert task.least_loss == pytest.approx(math.log(10) / math.log(64))
    emphasis = Emphasis({"cwe": task.least_loss}, 0.9)
    for _ in range(400):
        emphasis.update([7 * task.least_loss, 7.0])
    assert emphasis.factors()["cwe"] == pytest.approx(0.1, abs=1e-4)


def test_factors_change_what_is_drawn():
    mixture = Mixture({"reference/niah_single": 1, "reference/fa": 1})
    factors = {"reference/niah_single": 0.1, "reference/fa": 0.9}
    assert mixture.shares(64, factors) == pytest.approx(factors)
    drawn = mixture.batch(np.random.default_rng(0), 4000, 64, 1, factors).meta["task"]
    assert (drawn == 1).mean() == pytest.approx(0.9, abs=0.03)
