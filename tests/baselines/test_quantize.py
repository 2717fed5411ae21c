"""Baselines are quantised by the reference model's code: scales fold exactly, searched errors never grow."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.quantization.awq import search_scale
from synapnet_edge.quantization.convert import apply_recipe
from synapnet_edge.quantization.statistics import collect_statistics
from synapnet_edge.quantization.topology import fold, fold_groups
from synapnet_edge.quantization.variants import VARIANTS
from tests.baselines.conftest import build

KINDS = ["llama", "mamba2", "falcon_h1", "hymba"]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_folding_leaves_the_function_unchanged(ids, kind):
    model = build(kind)
    expected = model(ids)
    for number, group in enumerate(fold_groups(model)):
        width = model.get_submodule(group.consumers[0]).in_features
        scale = torch.rand(width, generator=torch.Generator().manual_seed(number)) + 0.5
        fold(model, group, scale)
    assert torch.allclose(model(ids), expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_linear_layer_gets_four_bits_and_no_searched_error_grows(ids, kind):
    model = build(kind)
    statistics = collect_statistics(model, [ids])
    recipe = VARIANTS.get("int4_awq").recipe
    stored = apply_recipe(model, recipe, statistics)
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert set(stored.quantization.packed) == linear | {"embed.token"}
    assert all(weight.bits == 4 for weight in stored.quantization.packed.values())
    assert not torch.allclose(stored(ids), model(ids), atol=1e-3)
    schemes = recipe.resolve(model)
    for group in fold_groups(model):
        found = search_scale(model, group, schemes, statistics)
        assert 0 < found.error <= found.plain_error, group.consumers
