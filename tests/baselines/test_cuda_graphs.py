"""A recorded step gives the gradients of a plain one, whatever shapes came between; needs a CUDA device."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.baselines import BASELINES
from synapnet_edge.training.cuda_graphs import EagerGradients, GraphedGradients, gradients_of
from tests.baselines.conftest import SHAPES, build, shape_of


def losses(model):
    def compute(ids, positions, targets):
        logits = model(ids, positions)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()), logits

    return compute


def batch(length: int, seed: int, device: str):
    draw = torch.Generator().manual_seed(seed)
    shapes = ((96, (3, length)), (length, (3, 4)), (8, (3, 4)))
    return [torch.randint(high, shape, generator=draw).to(device) for high, shape in shapes]


def test_a_cpu_gets_plain_calls():
    model = build("llama")
    assert isinstance(gradients_of(model, losses(model)), EagerGradients)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", SHAPES)
def test_graphs_give_the_gradients_of_plain_calls(kind):
    plain = build(kind).cuda()
    graphed = BASELINES.get(kind)(shape_of(kind)).eval().cuda()
    graphed.load_state_dict(plain.state_dict())
    ours, theirs = GraphedGradients(graphed, losses(graphed)), EagerGradients(plain, losses(plain))
    for length, seed in ((70, 1), (33, 2), (70, 3), (33, 4)):
        inputs = batch(length, seed, "cuda")
        found, logits = ours(*inputs)
        expected, expected_logits = theirs(*inputs)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-5)
        for mine, other in zip(graphed.parameters(), plain.parameters(), strict=True):
            expected = torch.zeros_like(other) if other.grad is None else other.grad
            torch.testing.assert_close(mine.grad, expected, rtol=1e-3, atol=1e-5)
    assert len(ours.graphs) == 2, "one graph for each shape"
