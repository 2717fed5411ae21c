import math

import pytest
import torch
from torch import nn

from synapnet_edge.quantization.fake_quant import fake_quantized
from synapnet_edge.quantization.lsq import lsq_levels
from synapnet_edge.quantization.row_step import RowStepFakeQuant, RowStepQuantizer

BITS = pytest.mark.parametrize("bits", [3, 4])


@BITS
def test_alpha_is_the_step_and_every_level_is_reached(bits):
    levels, half = lsq_levels(bits), 2 ** (bits - 1)
    sweep = torch.linspace(-3 * half, 3 * half, 8001)[None] * 0.25
    values = levels.quantize(sweep, torch.tensor([[0.25]])).unique()
    assert values.tolist() == [0.25 * code for code in range(-half, half)]


@BITS
def test_start_maps_the_row_maximum_to_the_largest_level(bits):
    weight = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    start = lsq_levels(bits).start(weight)
    torch.testing.assert_close(start, weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1))


@BITS
def test_gradients_equal_a_hand_loop(bits):
    generator = torch.Generator().manual_seed(bits)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    weight = (3 * torch.randn(3, 6, generator=generator)).requires_grad_()
    alpha = torch.tensor([[0.25], [0.5], [2.0]], requires_grad=True)  # exact in FP16
    upstream = torch.randn(3, 6, generator=generator)
    RowStepFakeQuant.apply(weight, alpha, lsq_levels(bits)).backward(upstream)
    for row in range(3):
        total = 0.0
        for column in range(6):
            z, g = weight[row, column].item() / alpha[row, 0].item(), float(upstream[row, column])
            inside = low <= z <= high
            total += g * (round(z) - z if inside else (low if z < low else high))
            assert float(weight.grad[row, column]) == (g if inside else 0.0)
        assert float(alpha.grad[row, 0]) == pytest.approx(total / math.sqrt(18 * high), rel=1e-5)


@BITS
def test_packed_weight_equals_the_fake_quantised_weight_bit_for_bit(bits):
    linear = nn.Linear(67, 9, bias=False)
    levels = lsq_levels(bits)
    layer = fake_quantized(linear, RowStepQuantizer(levels, levels.start(linear.weight)))
    assert torch.equal(layer.pack().dequantize(), layer.quantized_weight().detach())
