import copy

import pytest
import torch

from synapnet_edge.quantization.awq import apply_awq, search_scale
from synapnet_edge.quantization.convert import apply_recipe
from synapnet_edge.quantization.recipe import Scheme
from synapnet_edge.quantization.statistics import collect_statistics
from synapnet_edge.quantization.topology import fold, fold_groups
from synapnet_edge.quantization.variants import INT4_AWQ, VARIANTS, uniform

GROUPS = pytest.mark.parametrize("group", [32, 64, 128])


def schemes_of(model, scheme=INT4_AWQ):
    return uniform(scheme).resolve(model)


def test_folding_any_scale_leaves_the_float_function_unchanged(outlier_model, calibration):
    model = copy.deepcopy(outlier_model).double()
    with torch.no_grad():
        before = model(calibration[0])
        generator = torch.Generator().manual_seed(5)
        for group in fold_groups(model):
            width = model.get_submodule(group.consumers[0]).in_features
            fold(model, group, torch.rand(width, generator=generator).double() * 4 + 0.25)
        after = model(calibration[0])
    assert float((after - before).abs().max()) < 1e-5
    assert not torch.equal(model.head.weight, outlier_model.head.weight.double())


def test_every_linear_that_reads_a_norm_is_in_its_group(outlier_model):
    for group in fold_groups(outlier_model):
        widths = {outlier_model.get_submodule(name).in_features for name in group.consumers}
        widths |= {dict(outlier_model.named_parameters())[name].shape[-1] for name in group.also}
        assert len(widths) == 1
    consumers = {name for group in fold_groups(outlier_model) for name in group.consumers}
    assert {"blocks.0.ssm.in_proj", "blocks.0.ssm.gate_proj", "blocks.0.memory.o_proj", "head"} <= consumers
    assert not any(
        name.endswith((".q_proj", ".k_proj", ".v_proj", ".down", ".out_proj")) for name in consumers
    )


@GROUPS
def test_searched_error_is_never_above_round_to_nearest_in_any_group(
    outlier_model, outlier_statistics, group
):
    scheme = Scheme("int", 4, group=group, clip_search=True, scale_search=True)
    schemes = schemes_of(outlier_model, scheme)
    found = [
        search_scale(outlier_model, where, schemes, outlier_statistics)
        for where in fold_groups(outlier_model)
    ]
    assert all(item.error <= item.plain_error for item in found)
    assert sum(item.error for item in found) < 0.9 * sum(item.plain_error for item in found)
    assert all(bool((item.scale > 0).all()) for item in found)


def test_the_search_itself_changes_no_weight(outlier_model, outlier_statistics):
    before = copy.deepcopy(outlier_model.state_dict())
    for where in fold_groups(outlier_model):
        search_scale(outlier_model, where, schemes_of(outlier_model), outlier_statistics)
    assert all(torch.equal(value, before[name]) for name, value in outlier_model.state_dict().items())


def test_statistics_after_folding_are_those_of_the_folded_model(
    outlier_model, outlier_statistics, calibration
):
    model = copy.deepcopy(outlier_model)
    changed = apply_awq(model, schemes_of(model), outlier_statistics)
    again = collect_statistics(model, calibration)
    for name in ("blocks.0.ssm.in_proj", "blocks.0.memory.o_proj", "head"):
        for kind in ("second_moment", "abs_mean", "abs_max"):
            key = f"{name}.{kind}"
            torch.testing.assert_close(changed[key], again[key], rtol=2e-3, atol=1e-5)
            assert not torch.allclose(changed[key], outlier_statistics[key], rtol=1e-3)


def test_awq_is_nearer_to_the_float_model_than_round_to_nearest(
    outlier_model, outlier_statistics, calibration
):
    error = {}
    with torch.no_grad():
        expected = outlier_model(calibration[0])
        for name in ("int4", "int4_awq"):
            arm = apply_recipe(outlier_model, VARIANTS.get(name).recipe, outlier_statistics)
            error[name] = float((arm(calibration[0]) - expected).square().mean())
    assert error["int4_awq"] < 0.8 * error["int4"]


def test_missing_statistics_are_named(outlier_model):
    with pytest.raises(ValueError, match=r"found no 'blocks.0.ssm.in_proj.abs_mean'"):
        apply_awq(copy.deepcopy(outlier_model), schemes_of(outlier_model), {})
    with pytest.raises(ValueError, match="no calibration statistics"):
        apply_recipe(outlier_model, VARIANTS.get("int4_awq").recipe)


def test_another_kind_of_model_is_refused():
    with pytest.raises(ValueError, match="found Linear, expected SynapNetEdge"):
        fold_groups(torch.nn.Linear(2, 2))
