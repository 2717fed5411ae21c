import pytest
import torch
from torch import nn

from synapnet_edge.quantization.fake_quant import fake_quantized
from synapnet_edge.quantization.memory_quantizer import MemoryQuantizer
from synapnet_edge.quantization.primitives import (
    MIN_SCALE,
    choose_asymmetric,
    dequantize,
    from_groups,
    quantize,
    to_groups,
)
from synapnet_edge.quantization.row_step import output_error
from synapnet_edge.quantization.uniform import (
    IntegerQuantizer,
    integer_quantize,
    pack_integer,
    search_clip,
)

SCHEMES = pytest.mark.parametrize(
    ("bits", "group", "symmetric"),
    [
        (8, 0, True),
        (4, 64, False),
        (4, 32, True),
        (3, 64, False),
        (4, 0, False),
        (4, 128, False),
        (2, 32, False),
    ],
)


def random_weight(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def layer_of(module, *settings):
    return fake_quantized(module, IntegerQuantizer(*settings))


def test_groups_restore_the_weight_when_the_last_group_is_padded():
    weight = random_weight(3, 130)
    groups = to_groups(weight, 64)
    assert groups.shape == (3, 3, 64) and torch.equal(from_groups(groups, 130), weight)


def test_asymmetric_codes_round_trip_through_all_sixteen_values():
    codes = torch.arange(16.0).reshape(1, 1, 16)
    scale, zero = choose_asymmetric((codes - 5) * 0.25, 4)
    assert float(scale) == 0.25 and float(zero) == 5
    again = quantize(dequantize(codes, scale, zero), scale, zero, 4)
    assert torch.equal(again, codes)


def test_a_group_of_one_sign_keeps_its_range_and_zero_stays_exact():
    groups = torch.linspace(1.0, 2.0, 63)
    groups = torch.cat([groups, torch.zeros(1)]).reshape(1, 1, 64)
    scale, zero = choose_asymmetric(groups, 4)
    restored = dequantize(quantize(groups, scale, zero, 4), scale, zero)
    assert (
        float(restored[0, 0, -1]) == 0.0 and float((restored - groups).abs().max()) <= float(scale) / 2 + 1e-3
    )


def test_a_zero_weight_gives_zero_and_a_normal_fp16_scale():
    packed = pack_integer(torch.zeros(2, 64), 4, 64, False)
    assert torch.equal(packed.dequantize(), torch.zeros(2, 64))
    assert float(packed.scales.min()) == MIN_SCALE


@SCHEMES
@pytest.mark.parametrize("columns", [1, 64, 100, 192])
def test_packed_weight_equals_the_fake_quantised_weight_bit_for_bit(bits, group, symmetric, columns):
    layer = layer_of(nn.Linear(columns, 5, bias=False), bits, group, symmetric)
    assert torch.equal(layer.pack().dequantize(), layer.quantized_weight().detach())


@SCHEMES
def test_error_is_at_most_half_a_step(bits, group, symmetric):
    weight = random_weight(4, 192)
    packed = pack_integer(weight, bits, group, symmetric)
    step = packed.scales.float().max()
    # FP16 rounding of the scale may move the outermost level by a little more than half a step.
    assert float((packed.dequantize() - weight).abs().max()) <= float(step) * 0.56


def test_clip_search_never_loses_to_round_to_nearest_and_packs_what_it_found():
    weight = random_weight(8, 128)
    weight[:, ::17] *= 6
    x = random_weight(400, 128, seed=2)
    moment = x.T @ x / len(x)
    ratio = search_clip(weight, moment, 4, 64, False)
    assert ratio.shape == (8, 2) and float(ratio.min()) >= 0.55 - 1e-6 and float(ratio.max()) <= 1.0
    blocks = moment * torch.block_diag(torch.ones(64, 64), torch.ones(64, 64))
    plain = output_error(integer_quantize(weight, 4, 64, False) - weight, blocks)
    clipped = output_error(integer_quantize(weight, 4, 64, False, ratio) - weight, blocks)
    assert bool((clipped <= plain + 1e-6).all()) and clipped.sum() < plain.sum()
    layer = layer_of(_linear(weight), 4, 64, False, ratio)
    assert torch.equal(layer.pack().dequantize(), layer.quantized_weight().detach())


def test_gradient_passes_straight_through_inside_the_clip_range_only():
    weight = torch.tensor([[0.1, -0.2, 1.0, 0.3]])
    layer = layer_of(_linear(weight), 4, 4, False, torch.tensor([[0.5]]))
    layer.quantized_weight().sum().backward()
    assert layer.weight.grad.tolist() == [[1.0, 1.0, 0.0, 1.0]]


def test_fake_quantised_embedding_looks_up_quantised_rows():
    embedding = nn.Embedding(11, 64)
    layer = layer_of(embedding, 4, 64)
    ids = torch.tensor([[0, 10, 3]])
    assert torch.equal(layer(ids), integer_quantize(embedding.weight, 4, 64, False)[ids])


def test_entries_have_one_scale_for_each_entry_and_head_and_small_error():
    entries = torch.randn(2, 3, 5, 32, generator=torch.Generator().manual_seed(0))
    entries[0, 1, 2] *= 1000
    codes, scale = MemoryQuantizer().quantize(entries)
    assert codes.dtype == torch.int8 and scale.dtype == torch.float16 and scale.shape == (2, 3, 5)
    error = (MemoryQuantizer().dequantize(codes, scale) - entries).abs().amax(-1)
    assert bool((error <= 0.56 * scale.float()).all())


def test_tiny_entries_do_not_underflow_to_a_zero_scale():
    _, scale = MemoryQuantizer().quantize(torch.full((1, 4), 1e-9))
    assert float(scale) >= 6.1e-5
    assert torch.equal(MemoryQuantizer()(torch.zeros(1, 1, 2, 8)), torch.zeros(1, 1, 2, 8))


def test_fake_quantised_entries_equal_stored_entries_and_pass_the_gradient():
    entries = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    quantizer = MemoryQuantizer()
    restored = quantizer(entries)
    assert torch.equal(restored.detach(), quantizer.dequantize(*quantizer.quantize(entries.detach())))
    restored.sum().backward()
    assert torch.equal(entries.grad, torch.ones_like(entries))


def test_entries_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        MemoryQuantizer().quantize(torch.tensor([[1.0, float("nan")]]))


def _linear(weight):
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        linear.weight.copy_(weight)
    return linear
