import math

import pytest
import torch
from torch import nn

from synapnet_edge.quantization.fake_quant import fake_quantized
from synapnet_edge.quantization.paretoq import SEQ, TERNARY
from synapnet_edge.quantization.row_step import (
    RowStepFakeQuant,
    RowStepQuantizer,
    output_error,
    search_alpha,
)

SEQ_LEVELS, TERNARY_LEVELS = (-0.75, -0.25, 0.25, 0.75), (-2 / 3, 0.0, 2 / 3)
BOTH = pytest.mark.parametrize(("kind", "published"), [(SEQ, SEQ_LEVELS), (TERNARY, TERNARY_LEVELS)])


def random_weight(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def layer_of(linear, alpha=None, kind=SEQ):
    alpha = kind.start(linear.weight) if alpha is None else alpha
    return fake_quantized(linear, RowStepQuantizer(kind, alpha))


def test_levels_of_published_oracle_points():
    weight = torch.tensor([[-1.2, -0.5001, -0.4999, -1e-6, 1e-6, 0.4999, 0.51, 1.0, 1.2]])
    expected = [[-0.75, -0.75, -0.25, -0.25, 0.25, 0.25, 0.75, 0.75, 0.75]]
    assert SEQ.quantize(weight, torch.ones(1, 1)).tolist() == expected


@pytest.mark.parametrize("alpha", [1.0, 0.0371, 2.5])
@BOTH
def test_a_dense_sweep_through_both_edges_has_exactly_the_published_values(alpha, kind, published):
    sweep = torch.cat([torch.linspace(-1.5, 1.5, 30_001), torch.tensor([-1.0, 1.0])]) * alpha
    values = kind.quantize(sweep[None], torch.tensor([[alpha]])).unique()
    assert len(values) == len(published)
    torch.testing.assert_close(values, alpha * torch.tensor(published), rtol=1e-3, atol=1e-7)


def test_ternary_thresholds_lie_at_a_third():
    weight = torch.tensor([[-1.0, -0.334, -0.332, 0.0, 0.332, 0.334, 2.0]])
    codes = TERNARY.codes(weight, TERNARY.step(torch.ones(1, 1)))
    assert codes.tolist() == [[0, 0, 1, 1, 1, 2, 2]]


@BOTH
def test_gradients_equal_a_hand_loop(kind, published):
    weight, alpha = random_weight(3, 7), torch.tensor([[0.5], [1.0], [1.75]])
    weight.requires_grad_()
    alpha.requires_grad_()
    upstream = random_weight(3, 7, seed=1)
    RowStepFakeQuant.apply(weight, alpha, kind).backward(upstream)
    for row in range(3):
        total = 0.0
        for column in range(7):
            rounded = kind.step(alpha)[row, 0].item() * kind.n  # the step is stored as FP16
            z = weight[row, column].item() / rounded
            g = float(upstream[row, column])
            if abs(z) <= 0.99:
                level = min(published, key=lambda value: abs(value - z))
                total += g * (level - z)
                assert float(weight.grad[row, column]) == g
            else:
                total += g * math.copysign(published[-1], z)
                assert float(weight.grad[row, column]) == 0.0
        assert float(alpha.grad[row, 0]) == pytest.approx(total / math.sqrt(21), rel=1e-5)


def test_alpha_starts_at_the_row_maximum():
    linear = nn.Linear(5, 3, bias=False)
    layer = layer_of(linear)
    assert torch.equal(layer.quantizer.alpha.detach(), linear.weight.detach().abs().amax(1, keepdim=True))


@pytest.mark.parametrize("columns", [4, 63, 64, 130])
def test_packed_weight_equals_the_fake_quantised_weight_bit_for_bit(columns):
    layer = layer_of(nn.Linear(columns, 9, bias=False), 0.3 * torch.rand(9, 1) + 1e-4)
    packed = layer.pack()
    assert torch.equal(packed.dequantize(), layer.quantized_weight().detach())
    # The documented code: q = (c - 1.5) / 2 times alpha.
    alpha = 2 * packed.scales.float()
    assert torch.equal(alpha * (packed.integer_codes().float() - 1.5) / 2, packed.dequantize())


@pytest.mark.parametrize("columns", [4, 65])
def test_packed_ternary_equals_the_fake_quantised_weight_bit_for_bit(columns):
    layer = layer_of(nn.Linear(columns, 9, bias=False), 0.3 * torch.rand(9, 1) + 1e-4, TERNARY)
    packed = layer.pack()
    assert torch.equal(packed.dequantize(), layer.quantized_weight().detach())
    assert int(packed.integer_codes().max()) <= 2


def test_bit_equality_holds_for_tiny_and_for_zero_rows():
    weight = torch.cat([random_weight(1, 64) * 1e-6, torch.zeros(1, 64), random_weight(1, 64)])
    alpha = SEQ.start(weight)
    packed = SEQ.pack(weight, alpha).dequantize()
    assert torch.equal(packed, SEQ.quantize(weight, alpha)) and bool(torch.isfinite(packed).all())


def test_an_alpha_that_is_not_finite_is_an_error():
    with pytest.raises(ValueError, match="alpha: found nan"):
        SEQ.quantize(torch.ones(1, 2), torch.tensor([[math.nan]]))


def test_effective_storage_is_two_bits_and_one_fp16_step_a_row():
    assert SEQ.pack(random_weight(10, 192), torch.ones(10, 1)).nbytes == 10 * (192 // 4 + 2)


def test_searched_alpha_never_loses_to_the_row_maximum_and_minimises_output_error():
    weight, x = random_weight(16, 48), random_weight(500, 48, seed=3) * torch.linspace(0.1, 4, 48)
    moment = x.T @ x / len(x)
    found = search_alpha(weight, moment, SEQ)
    error = output_error(SEQ.quantize(weight, found) - weight, moment)
    start = output_error(SEQ.quantize(weight, SEQ.start(weight)) - weight, moment)
    assert bool((error <= start).all()) and error.sum() < 0.8 * start.sum()
    # The quadratic form is the mean squared output error on the very data.
    direct = (x @ (SEQ.quantize(weight, found) - weight).T).square().mean(0)
    torch.testing.assert_close(error, direct, rtol=1e-3, atol=1e-5)


def test_training_moves_weight_and_alpha():
    layer = layer_of(nn.Linear(32, 8, bias=False))
    before = layer.quantizer.alpha.detach().clone(), layer.weight.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(random_weight(16, 32)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(layer.quantizer.alpha, before[0]) and not torch.equal(layer.weight, before[1])
