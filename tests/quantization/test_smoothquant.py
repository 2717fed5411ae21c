import copy

import pytest
import torch
from torch import nn

from synapnet_edge.quantization.activation import Int8InputLinear, int8_linear, quantize_tokens
from synapnet_edge.quantization.convert import apply_recipe
from synapnet_edge.quantization.recipe import Recipe
from synapnet_edge.quantization.smoothquant import apply_smoothquant
from synapnet_edge.quantization.variants import INT4, INT8, VARIANTS, uniform


def error_of(model, recipe, statistics, loader):
    arm = apply_recipe(model, recipe, statistics, loader=loader)
    with torch.no_grad():
        return float((arm(loader[0]) - model(loader[0])).square().mean())


def test_folding_leaves_the_float_function_unchanged(outlier_model, outlier_statistics, calibration):
    model = copy.deepcopy(outlier_model)
    schemes = VARIANTS.get("w8a8").recipe.resolve(model)
    folded = apply_smoothquant(model, schemes, outlier_statistics, 0.5)
    assert folded == 2 * model.cfg.depth + 1  # both norms of every block and the last one
    with torch.no_grad():
        torch.testing.assert_close(model(calibration[0]), outlier_model(calibration[0]), rtol=1e-4, atol=1e-4)


def test_layers_with_float_inputs_are_left_alone(outlier_model, outlier_statistics):
    model = copy.deepcopy(outlier_model)
    assert apply_smoothquant(model, uniform(INT8).resolve(model), outlier_statistics, 0.5) == 0


def test_smoothing_pays_with_int8_inputs_where_one_channel_is_large():
    """One layer with a hundredfold input channel, as the method's paper has it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 64, generator=generator)
    x[:, 5] *= 100
    weight = torch.randn(32, 64, generator=generator)
    scale = x.abs().amax(0).sqrt() / weight.abs().amax(0).sqrt()

    def rounded(w, bits):
        step = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        return torch.round(w / step) * step

    expected = x @ weight.T
    plain = (int8_linear(x, rounded(weight, 8)) - expected).square().mean()
    smooth = (int8_linear(x / scale, rounded(weight * scale, 8)) - expected).square().mean()
    assert float(smooth) < float(plain) / 5


def test_w8a8_on_the_model_gains_from_smoothing(outlier_model, outlier_statistics, calibration):
    smooth = VARIANTS.get("w8a8").recipe
    rules = Recipe(smooth.rules)
    assert error_of(outlier_model, smooth, outlier_statistics, calibration) < error_of(
        outlier_model, rules, outlier_statistics, calibration
    )


def test_statistics_must_be_collected_again(outlier_model, outlier_statistics):
    with pytest.raises(ValueError, match="calib_loader: found None"):
        apply_recipe(outlier_model, VARIANTS.get("w4a8").recipe, outlier_statistics)


def test_token_codes_are_int8_with_one_scale_a_token():
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0]).view(
        2, 1, 1
    )
    codes, scale = quantize_tokens(x)
    assert codes.dtype == torch.int8 and scale.shape == (2, 5, 1)
    assert bool((codes.abs().amax(-1) == 127).all())
    assert bool(((codes * scale - x).abs() <= 0.5001 * scale).all())
    assert torch.equal(quantize_tokens(torch.zeros(1, 3))[0], torch.zeros(1, 3, dtype=torch.int8))


def test_the_product_equals_integer_arithmetic():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 48, generator=generator)
    weight = torch.randint(-127, 128, (9, 48), generator=generator).float()
    codes, scale = quantize_tokens(x)
    exact = (codes.long() @ weight.long().T).float() * scale
    assert torch.equal(int8_linear(x, weight), exact)


def test_gradient_of_the_inputs_passes_straight_through():
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    int8_linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand(3, 8))


def test_int8_inputs_are_in_use_where_the_recipe_says_so(outlier_model, outlier_statistics, calibration):
    arm = apply_recipe(outlier_model, VARIANTS.get("w8a8").recipe, outlier_statistics, loader=calibration)
    assert isinstance(arm.head, Int8InputLinear)
    assert not isinstance(arm.blocks[0].salience.score, Int8InputLinear)
    plain = apply_recipe(outlier_model, uniform(INT4), outlier_statistics)
    assert type(plain.head) is nn.Linear
