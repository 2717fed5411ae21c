"""The average of the weights is what its formula says, and never disturbs the training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synapnet_edge.training.ema import WeightAverage


def test_average_equals_a_loop_written_by_hand():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    average, decay = WeightAverage(model, 0.5), 0.5
    expected = model.weight.detach().double().clone()
    for step in range(20):
        with torch.no_grad():
            model.weight.normal_()
        average.update(step)
        d = min(decay, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * model.weight.detach().double()
    assert torch.allclose(average.tensors()["weight"].double(), expected, atol=1e-6)


def test_first_update_nearly_forgets_the_initial_weights():
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, 0.999)
    nn.init.ones_(model.weight)
    average.update(0)
    assert average.tensors()["weight"].tolist() == [pytest.approx([0.9, 0.9])]


def test_block_computes_with_the_average_and_gives_the_weights_back():
    model = nn.Linear(2, 1)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model.weight.add_(1)
    with pytest.raises(KeyError), average.applied():
        assert torch.equal(model.weight, own["weight"])
        raise KeyError
    assert torch.equal(model.weight, own["weight"] + 1)
    assert torch.equal(average.tensors()["weight"], own["weight"])


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match="ema: found"):
        WeightAverage(nn.Linear(1, 1), decay)
