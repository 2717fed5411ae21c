import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synapnet_edge.quantization import CAJQConfig, apply_cajq, payload_bytes, save_quantized
from synapnet_edge.quantization.allocation import BudgetError, allocate
from synapnet_edge.quantization.cajq import allocated_recipe
from synapnet_edge.quantization.options import COMPONENTS, OPTIONS, PACKED_OPTIONS, allocated
from synapnet_edge.quantization.sensitivity import measure_sensitivity
from synapnet_edge.quantization.sizes import recipe_bytes
from synapnet_edge.quantization.variants import CAJQ_SCOPES, VARIANTS, Budget, uniform

WIDTHS = ("seq2", "int3g64", "int4g64", "int8", "fp16")
POINTS = ("int2g64", "int3g32", "int4g64", "int8")


def table(sizes, losses):
    rows = [
        (f"c{row}", f"o{column}", sizes[row][column], losses[row][column])
        for row, column in itertools.product(range(len(sizes)), range(len(sizes[0])))
    ]
    return pd.DataFrame(rows, columns=["component", "option", "bytes", "divergence"])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), components=st.integers(1, 4), options=st.integers(2, 4))
def test_allocation_is_the_best_of_all_that_fit(seed, components, options):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 50, (components, options)).tolist()
    losses = rng.random((components, options)).round(3).tolist()
    budget = int(rng.integers(sum(map(min, sizes)), sum(map(max, sizes)) + 1))
    best = min(
        sum(losses[c][o] for c, o in enumerate(choice))
        for choice in itertools.product(range(options), repeat=components)
        if sum(sizes[c][o] for c, o in enumerate(choice)) <= budget
    )
    chosen = allocate(table(sizes, losses), budget)
    picked = [int(option[1:]) for option in chosen.values()]
    assert list(chosen) == [f"c{row}" for row in range(components)]
    assert sum(sizes[c][o] for c, o in enumerate(picked)) <= budget
    assert sum(losses[c][o] for c, o in enumerate(picked)) == pytest.approx(best, abs=1e-9)


def test_a_budget_below_the_smallest_options_names_what_they_take():
    with pytest.raises(BudgetError, match="found 9 for the components, expected at least 10"):
        allocate(table([[4, 8], [6, 9]], [[1.0, 0.5], [1.0, 0.0]]), 9)


@pytest.fixture(scope="module")
def sensitivity(outlier_model, outlier_statistics, calibration):
    return measure_sensitivity(outlier_model, calibration, outlier_statistics, options=WIDTHS)


def test_every_component_is_measured_at_every_width_and_fp16_loses_nothing(sensitivity, outlier_model):
    assert len(sensitivity) == len(COMPONENTS) * len(WIDTHS)
    assert (sensitivity.loc[sensitivity["option"] == "fp16", "divergence"] == 0).all()
    assert (sensitivity["divergence"] >= 0).all()
    by_option = sensitivity.groupby("option")["divergence"].sum()
    assert by_option["int8"] < by_option["int4g64"] < by_option["seq2"]
    sizes = sensitivity.pivot(index="component", columns="option", values="bytes")
    assert (sizes["fp16"] > sizes["int4g64"]).all() and (sizes["int4g64"] > sizes["seq2"]).all()


def test_measuring_leaves_the_model_alone(sensitivity, outlier_model, calibration):
    with torch.no_grad():
        before = outlier_model(calibration[0])
        measure_sensitivity(outlier_model, calibration[:1], {}, ["head"], ["int8"])
        assert torch.equal(outlier_model(calibration[0]), before)


def test_under_autocast_every_component_is_seen_too(outlier_model, outlier_statistics, calibration):
    """Autocast keeps casts of weights, which a change in place does not reach."""
    with torch.autocast("cpu", torch.bfloat16):
        table = measure_sensitivity(
            outlier_model, calibration[:1], outlier_statistics, ("ssm", "head"), ("seq2", "fp16")
        )
    assert (table.loc[table["option"] == "seq2", "divergence"] > 0).all()


def test_the_file_keeps_the_budget_and_its_size_was_known(sensitivity, outlier_model, calibration, tmp_path):
    budget = Budget(times=3.0).bytes_for(outlier_model)
    recipe = allocated_recipe(outlier_model, sensitivity, budget, CAJQ_SCOPES["full"])
    config = CAJQConfig(scope="full", byte_budget=budget, options=WIDTHS)
    arm = apply_cajq(outlier_model, config, calibration)
    assert arm.quantization.recipe == recipe
    ledger = save_quantized(arm, recipe, tmp_path / "m.safetensors")
    size = payload_bytes(tmp_path / "m.safetensors")
    assert size == recipe_bytes(outlier_model, recipe) == ledger["bytes"].sum() <= budget


def test_more_bytes_never_cost_divergence(sensitivity, outlier_model):
    losses = []
    for times in (4.0, 3.0, 2.0, 1.0):
        budget = Budget(times=times).bytes_for(outlier_model)
        chosen = allocated_recipe(outlier_model, sensitivity, budget, CAJQ_SCOPES["full"])
        options = {
            component: option
            for component, option in itertools.product(COMPONENTS, WIDTHS)
            if allocated({component: option}, CAJQ_SCOPES["full"]).rules[1:] == tuple(
                rule for rule in chosen.rules if rule.pattern.startswith(COMPONENTS[component])
            )
        }  # fmt: skip
        rows = sensitivity.set_index(["component", "option"])["divergence"]
        losses.append(sum(rows[item] for item in options.items()))
    assert losses == sorted(losses, reverse=True) and losses[-1] == 0.0


def test_the_paper_scope_with_a_budget_changes_its_two_components_only(outlier_model, calibration):
    budget = Budget(times=1.3).bytes_for(outlier_model)
    arm = apply_cajq(outlier_model, CAJQConfig(byte_budget=budget, options=WIDTHS), calibration)
    assert {name.split(".")[2] for name in arm.quantization.packed} <= {"ssm", "attention"}
    assert arm.quantization.packed


@pytest.mark.parametrize("name", [n for n in VARIANTS.names() if VARIANTS.get(n).budget is None])
def test_sizes_are_known_before_quantising(outlier_model, outlier_statistics, calibration, tmp_path, name):
    from synapnet_edge.quantization import apply_recipe

    arm = VARIANTS.get(name)
    mode = "qat" if arm.mode == "qat" else "ptq"
    model = apply_recipe(outlier_model, arm.recipe, outlier_statistics, mode, loader=calibration[:1])
    save_quantized(model, arm.recipe, tmp_path / "m.safetensors")
    assert payload_bytes(tmp_path / "m.safetensors") == recipe_bytes(outlier_model, arm.recipe)


def test_every_pareto_point_has_an_allocation_of_no_more_bytes(sensitivity, outlier_model):
    names = [name for name in VARIANTS.names() if name.startswith("uniform_") and not name.endswith("_qat")]
    assert len(names) >= 8 and all(f"cajq_{name.removeprefix('uniform_')}" in VARIANTS for name in names)
    for name in POINTS:
        arm = VARIANTS.get(f"cajq_{name}")
        budget = arm.budget.bytes_for(outlier_model)
        recipe = allocated_recipe(outlier_model, sensitivity, budget, arm.recipe)
        size = recipe_bytes(outlier_model, recipe)
        assert size <= recipe_bytes(outlier_model, VARIANTS.get(f"uniform_{name}").recipe)
    assert uniform(OPTIONS["int4g64"]) == VARIANTS.get("uniform_int4g64").recipe


@pytest.mark.parametrize("wrong", [{"byte_budget": 0}, {"byte_budget": 1.5}, {"byte_budget": True}])
def test_an_impossible_budget_is_refused(wrong):
    with pytest.raises(ValueError, match="byte_budget: found"):
        CAJQConfig(**wrong)
    with pytest.raises(ValueError, match="options: found"):
        CAJQConfig(options=("int8",))
    with pytest.raises(ValueError, match="budget: found"):
        Budget(times=0.5)


def test_allocation_needs_calibration_data(outlier_model):
    with pytest.raises(ValueError, match="calib_loader: found None"):
        apply_cajq(outlier_model, CAJQConfig(scope="full"), mode="qat")


def test_a_model_of_a_given_size_runs_packed_and_a_comparison_may_use_every_width():
    assert Budget(times=6.0).options == PACKED_OPTIONS == CAJQConfig().options
    assert {"seq2", "int4g64", "int4g128", "int8", "fp16"} <= set(PACKED_OPTIONS)
    assert not any(name.endswith("g32") for name in PACKED_OPTIONS)
    assert set(VARIANTS.get("cajq_int4g32").budget.options) == set(OPTIONS)
