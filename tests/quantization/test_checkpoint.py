import copy

import pandas as pd
import pytest
import torch

from synapnet_edge.artifacts import ArtifactError, read_tensors, write_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.quantization import (
    VARIANTS,
    CAJQConfig,
    MemoryQuantizer,
    apply_cajq,
    apply_recipe,
    freeze,
    load_model,
    payload_bytes,
    save_quantized,
)
from synapnet_edge.quantization.fake_quant import fake_quant_modules
from synapnet_edge.quantization.row_step import RowStepQuantizer
from synapnet_edge.quantization.statistics import collect_statistics
from synapnet_edge.quantization.uniform import IntegerQuantizer

FIXED = [name for name in VARIANTS.names() if VARIANTS.get(name).budget is None]
# One of each kind; `test_allocation` saves the others.
KINDS = [name for name in FIXED if not name.startswith(("uniform_", "rtn_"))]

TINY = SynapNetEdgeConfig(
    dim=32, depth=2, vocab_size=64, heads=2, episodic_slots=4, chunk_len=16, window=8, top_k=4, ff_hidden=48
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SynapNetEdge(TINY).eval()


def calibration():
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 64, (2, 40), generator=generator) for _ in range(2)]


@pytest.fixture(scope="module")
def loader():
    return calibration()


@pytest.fixture(scope="module")
def statistics(model, loader):
    return collect_statistics(model, loader)


def quantized(model, statistics, variant):
    arm = VARIANTS.get(variant)
    mode = "qat" if arm.mode == "qat" else "ptq"
    return apply_recipe(model, arm.recipe, statistics, mode, loader=calibration())


@pytest.mark.parametrize("variant", KINDS)
def test_a_saved_variant_loads_to_the_same_function(model, statistics, loader, tmp_path, variant):
    arm = quantized(model, statistics, variant)
    save_quantized(arm, VARIANTS.get(variant).recipe, tmp_path / "m.safetensors", tmp_path / "m.csv", variant)
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.quantization.variant == variant and not loaded.training
    assert isinstance(loaded.entry_quantizer, MemoryQuantizer) == variant.startswith("cajq")
    for name, packed in loaded.quantization.packed.items():
        module = arm.get_submodule(name)
        weight = module.quantized_weight() if hasattr(module, "quantized_weight") else module.weight
        assert torch.equal(loaded.get_submodule(name).weight, weight.detach()), name
        assert torch.equal(packed.dequantize(), weight.detach()), name
    with torch.no_grad():
        # Everything else went through FP16, hence not exactly equal; INT8 inputs turn it into whole steps.
        tolerance = 0.08 if variant.endswith("a8") else 0.02
        torch.testing.assert_close(loaded(loader[0]), arm.eval()(loader[0]), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("variant", KINDS)
def test_ledger_rows_sum_to_the_payload_and_to_all_parameters(model, statistics, tmp_path, variant):
    arm = quantized(model, statistics, variant)
    path = tmp_path / "m.safetensors"
    save_quantized(arm, VARIANTS.get(variant).recipe, path, tmp_path / "m.csv", variant)
    ledger = pd.read_csv(tmp_path / "m.csv")
    assert list(ledger) == ["component", "tensor", "parameters", "bits", "bytes"]
    assert ledger["bytes"].sum() == payload_bytes(path)
    assert ledger.groupby("component")["parameters"].sum().to_dict() == {
        key: value for key, value in model.component_parameters().items() if value
    }


def test_smaller_bits_make_smaller_files(model, statistics, tmp_path):
    sizes = {}
    for variant in ("fp16", "int8", "int4", "cajq_ptq"):
        path = tmp_path / f"{variant}.safetensors"
        save_quantized(quantized(model, statistics, variant), VARIANTS.get(variant).recipe, path)
        sizes[variant] = payload_bytes(path)
    assert sizes["int4"] < sizes["int8"] < sizes["fp16"] and sizes["cajq_ptq"] < sizes["fp16"]


def test_saving_a_loaded_file_again_gives_the_same_tensors(model, statistics, tmp_path):
    recipe = VARIANTS.get("cajq_ptq").recipe
    save_quantized(quantized(model, statistics, "cajq_ptq"), recipe, tmp_path / "a.safetensors")
    save_quantized(load_model(tmp_path / "a.safetensors"), recipe, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes()[8:] == (tmp_path / "b.safetensors").read_bytes()[8:]


def test_a_float_checkpoint_loads_unchanged(model, tmp_path):
    write_tensors(tmp_path / "model.safetensors", model.state_dict(), {"config": TINY.to_dict()})
    loaded = load_model(tmp_path / "model.safetensors")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert loaded.entry_quantizer is None


def test_apply_cajq_leaves_the_given_model_alone(model, loader):
    before = copy.deepcopy(model.state_dict())
    arm = apply_cajq(model, CAJQConfig(device="cpu"), calib_loader=loader, mode="ptq")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.entry_quantizer is None and isinstance(arm.entry_quantizer, MemoryQuantizer)
    assert len(arm.get_submodule("blocks.0.ssm.in_proj").weight[0].unique()) <= 4
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_qat_mode_swaps_the_targeted_layers_for_trainable_ones(model, loader):
    arm = apply_cajq(model, CAJQConfig(), calib_loader=loader, mode="qat")
    layers = fake_quant_modules(arm)
    assert isinstance(layers["blocks.0.ssm.out_proj"].quantizer, RowStepQuantizer)
    assert isinstance(layers["blocks.1.attention.o_proj"].quantizer, IntegerQuantizer)
    arm(loader[0]).square().sum().backward()
    for name, layer in layers.items():
        assert layer.weight.grad is not None and float(layer.weight.grad.abs().sum()) > 0, name
    assert float(layers["blocks.0.ssm.in_proj"].quantizer.alpha.grad.abs().sum()) > 0


def test_freezing_keeps_the_function_bit_for_bit(model, loader):
    arm = apply_cajq(model, CAJQConfig(), calib_loader=loader, mode="qat").eval()
    with torch.no_grad():
        assert torch.equal(freeze(arm)(loader[0]), arm(loader[0]))


def test_quantising_twice_is_refused(model, loader):
    arm = apply_cajq(model, CAJQConfig(), calib_loader=loader)
    with pytest.raises(ValueError, match="expected a float one"):
        apply_cajq(arm, CAJQConfig(), calib_loader=loader)


def test_ptq_without_calibration_data_is_refused(model):
    with pytest.raises(ValueError, match="calib_loader: found None"):
        apply_cajq(model, CAJQConfig(), mode="ptq")
    with pytest.raises(ValueError, match="no calibration statistics, but the recipe searches"):
        apply_recipe(model, VARIANTS.get("cajq_ptq").recipe)


@pytest.mark.parametrize("wrong", [dict(device="tpu"), dict(scope="all"), dict(alpha_init="mean")])
def test_wrong_settings_are_refused_with_the_choices(wrong):
    with pytest.raises(ValueError, match="expected one of"):
        CAJQConfig(**wrong)


def test_an_absent_device_is_a_clear_error(model, loader):
    absent = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(ValueError, match="this machine only has"):
        apply_cajq(model, CAJQConfig(device=absent), calib_loader=loader)


def test_weights_changed_after_quantisation_are_not_saved(model, loader, tmp_path):
    arm = apply_cajq(model, CAJQConfig(), calib_loader=loader)
    with torch.no_grad():
        arm.get_submodule("blocks.0.ssm.in_proj").weight[0, 0] += 1
    with pytest.raises(ValueError, match="changed after it was quantised"):
        save_quantized(arm, CAJQConfig().recipe, tmp_path / "m.safetensors")


def test_a_model_that_was_not_quantised_by_the_recipe_is_not_saved(model, tmp_path):
    with pytest.raises(ValueError, match="not quantised by this recipe"):
        save_quantized(model, VARIANTS.get("int8").recipe, tmp_path / "m.safetensors")


def test_values_beyond_fp16_are_not_saved(model, tmp_path):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.head.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match="head.weight: found a value"):
        save_quantized(broken, VARIANTS.get("fp16").recipe, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.pop("blocks.0.ssm.in_proj.weight.codes"), "in_proj.weight.codes' is missing"),
        (lambda t: t.pop("norm.weight"), "norm.weight' is missing"),
        (lambda t: t.update({"extra": torch.zeros(1)}), "extra' does not belong"),
        (lambda t: t.update({"norm.weight": torch.zeros(3)}), "norm.weight' is torch.float32 \\[3\\]"),
        (
            lambda t: t.update({"norm.weight": torch.zeros(32, dtype=torch.int8)}),
            "norm.weight' is torch.int8",
        ),
        (
            lambda t: t.update({"blocks.0.ssm.in_proj.weight.scales": torch.ones(64, 1)}),
            "in_proj.weight': scales: found torch.float32",
        ),
    ],
)
def test_a_damaged_file_is_named_with_the_tensor(model, loader, tmp_path, damage, message):
    path = tmp_path / "m.safetensors"
    save_quantized(apply_cajq(model, CAJQConfig(), calib_loader=loader), CAJQConfig().recipe, path)
    tensors, metadata = read_tensors(path)
    damage(tensors)
    write_tensors(path, tensors, metadata)
    with pytest.raises(ArtifactError, match=f"m.safetensors: tensor '.*{message}"):
        load_model(path)
