import contextlib
import math

import numpy as np
import pandas as pd
import pytest
import torch

from synapnet_edge.artifacts import write_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.quantization import CAJQConfig, apply_cajq, load_model, payload_bytes
from synapnet_edge.quantization.fake_quant import fake_quant_modules, quantize_once
from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.training.calibration import calibrate
from synapnet_edge.training.finetune_data import finetune_steps
from synapnet_edge.training.objective import DivergedError
from synapnet_edge.training.qat import FinetuneConfig, cosine, finetune, parameter_groups
from synapnet_edge.training.quantize import quantize_variant, split_config
from synapnet_edge.training.sensitivity import sensitivity

TINY = SynapNetEdgeConfig(
    dim=32, depth=1, vocab_size=64, heads=2, episodic_slots=4, chunk_len=16, window=8, top_k=4, ff_hidden=48
)
QUIET = {"progress": False}


def copy_batches(seed=0):
    """Name the token under the read-out: a task that a few steps can learn."""
    rng = np.random.default_rng(seed)
    while True:
        ids = rng.integers(0, 8, (8, 20))
        positions = rng.integers(0, 20, (8, 4))
        targets = np.take_along_axis(ids, positions, axis=1)
        targets[:, 0] = -100
        yield TaskBatch(ids, targets, positions)


def tiny(seed=0, cfg=TINY):
    torch.manual_seed(seed)
    return SynapNetEdge(cfg)


def test_qat_learns_and_moves_every_quantised_layer():
    model = apply_cajq(tiny(), CAJQConfig(), mode="qat")
    before = {name: (m.weight.detach().clone()) for name, m in fake_quant_modules(model).items()}
    alpha = model.blocks[0].ssm.in_proj.quantizer.alpha.detach().clone()
    history = finetune(model, copy_batches(), FinetuneConfig(steps=40, learning_rate=3e-3), **QUIET)
    assert history["loss"].iloc[-1] < 0.7 * history["loss"].iloc[0]
    assert history["step"].iloc[-1] == 40 and history["tokens"].iloc[-1] == 40 * 160
    assert not torch.equal(model.blocks[0].ssm.in_proj.quantizer.alpha, alpha)
    for name, module in fake_quant_modules(model).items():
        assert not torch.equal(module.weight, before[name]), name


def test_same_seed_gives_the_same_model():
    states = []
    for _ in range(2):
        model = tiny()
        finetune(model, copy_batches(), FinetuneConfig(steps=3), **QUIET)
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_teacher_pulls_the_student_and_stays_as_it_was():
    teacher = tiny(seed=1).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    history = finetune(
        apply_cajq(teacher, CAJQConfig(), mode="qat"),
        copy_batches(),
        FinetuneConfig(steps=20, learning_rate=1e-3, log_every=1),
        teacher,
        **QUIET,
    )
    assert history["distillation"].iloc[0] > 0
    np.testing.assert_allclose(history["loss"], history["cross_entropy"] + history["distillation"], rtol=1e-4)
    assert teacher.training and all(torch.equal(v, before[n]) for n, v in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_alpha_has_its_own_group_without_decay():
    model = apply_cajq(tiny(), CAJQConfig(), mode="qat")
    groups = parameter_groups(model, FinetuneConfig(steps=1, weight_decay=0.1, alpha_rate=0.5))
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0, 0.0]
    assert groups[2]["lr"] == 0.5 * groups[0]["lr"]
    assert len(groups[2]["params"]) == 3
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_learning_rate_falls_to_zero_along_a_cosine():
    assert (
        cosine(0, 10) == 1.0 and cosine(5, 10) == pytest.approx(0.5) and cosine(10, 10) == pytest.approx(0.0)
    )


def test_a_loss_that_is_not_finite_stops_at_its_step():
    model = tiny()
    with torch.no_grad():
        model.head.weight[0, 0] = math.nan
    with pytest.raises(DivergedError, match="step 1: the loss is nan"):
        finetune(model, copy_batches(), FinetuneConfig(steps=2), **QUIET)


def test_too_few_batches_is_an_error():
    few = [next(copy_batches())]
    with pytest.raises(ValueError, match="found 1, expected 2"):
        finetune(tiny(), few, FinetuneConfig(steps=2), **QUIET)


def test_bf16_forward_trains_float_parameters():
    model = apply_cajq(tiny(), CAJQConfig(), mode="qat")
    history = finetune(
        model, copy_batches(), FinetuneConfig(steps=2, autocast="bfloat16", log_every=1), **QUIET
    )
    assert np.isfinite(history["loss"]).all()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"steps": 1, "clip": 0.0}, {"steps": 1, "distill_weight": -1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        FinetuneConfig(**wrong)


def test_unknown_stage_keys_are_refused():
    with pytest.raises(ValueError, match="unknown keys \\['step'\\]"):
        split_config({"step": 3})


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    cfg = SynapNetEdgeConfig.from_dict({**TINY.to_dict(), "vocab_size": 4096})
    write_tensors(folder / "model.safetensors", tiny(cfg=cfg).state_dict(), {"config": cfg.to_dict()})
    calibrate(
        folder / "model.safetensors",
        {"n_samples": 4, "seq_len": 64},
        0,
        folder / "stats.safetensors",
        **QUIET,
    )
    sensitivity(
        folder / "model.safetensors",
        folder / "stats.safetensors",
        {"n_samples": 2, "seq_len": 64, "options": ["seq2", "int4g32", "fp16"]},
        0,
        folder / "sensitivity.csv",
        **QUIET,
    )
    return folder


@pytest.mark.parametrize(
    "variant", ["fp16", "fp16_ft", "int4_awq", "w8a8", "cajq_ptq", "cajq_qat", "cajq_int4g32_qat"]
)
def test_the_stage_writes_a_loadable_file_ledger_and_history(pretrained, tmp_path, variant):
    curriculum = [{"length": length, "batch": 2, "readouts": 2} for length in (64, 96)]
    cfg = {"steps": 2, "curriculum": curriculum, "chunk_lens": [8, 16, 32], "least_entries": 8}
    output, ledger, history = (tmp_path / name for name in ("m.safetensors", "m.csv", "history.csv"))
    quantize_variant(
        pretrained / "model.safetensors", pretrained / "stats.safetensors", variant, cfg, 0, output, ledger,
        history=history, sensitivity=pretrained / "sensitivity.csv",
        calibration={"n_samples": 2, "seq_len": 64}, **QUIET,
    )  # fmt: skip
    assert load_model(output).quantization.variant == variant
    assert pd.read_csv(ledger)["bytes"].sum() == payload_bytes(output)
    assert history.exists() == (variant in ("fp16_ft", "cajq_qat", "cajq_int4g32_qat"))


def test_steps_are_drawn_as_pretraining_draws_them_and_the_same_for_one_seed():
    stages = [{"length": length, "batch": batch, "readouts": 2} for length, batch in ((64, 3), (128, 2))]
    cfg = SynapNetEdgeConfig.from_dict({**TINY.to_dict(), "vocab_size": 4096})
    data = {"curriculum": stages, "chunk_lens": [8, 16, 32], "least_entries": 8}
    drawn, again = (list(zip(range(40), finetune_steps(data, cfg, 5), strict=False)) for _ in range(2))
    steps = [step for _, step in drawn]
    assert {step.batch.input_ids.shape for step in steps} == {(3, 64), (2, 128)}
    assert {step.options["chunk_len"] for step in steps} == {8, 16}  # 32 is beyond the model's
    assert all(4 / 16 <= step.options["write_share"] <= 1 for step in steps)
    entries = [step.options["max_entries"] for step in steps]
    assert 8 <= min(entries) < max(entries) <= cfg.max_entries
    assert all(
        (one.batch.input_ids == two.batch.input_ids).all() and one.options == two.options
        for (_, one), (_, two) in zip(drawn, again, strict=True)
    )


@pytest.mark.parametrize("with_teacher", [True, False])
def test_rows_stand_behind_haystacks_as_in_pretraining(with_teacher):
    cfg = SynapNetEdgeConfig.from_dict({**TINY.to_dict(), "vocab_size": 4096, "num_classes": 64})
    data = {
        "curriculum": [{"length": 64, "batch": 3, "readouts": 2, "haystack": 256, "draws": 4}],
        "mixture": {"reference/niah_single": 1.0},
    }
    model, teacher = tiny(0, cfg), tiny(1, cfg)

    def watched(net, args, options):
        if "store" in options:
            stores[id(net)].append(options["store"].entries(0)[0].clone())

    model = apply_cajq(model, CAJQConfig(), mode="qat")
    stores = {id(model): [], id(teacher): []}
    for net in (model, teacher):
        net.register_forward_pre_hook(watched, with_kwargs=True)
    config = FinetuneConfig(steps=6)
    history = finetune(
        model, finetune_steps(data, cfg, 5), config, teacher if with_teacher else None, **QUIET
    )
    assert np.isfinite(history["loss"]).all()
    assert 0 < len(stores[id(model)]) <= 6
    assert len(stores[id(teacher)]) == (len(stores[id(model)]) if with_teacher else 0)
    if with_teacher:
        pairs = zip(stores[id(model)], stores[id(teacher)], strict=True)
        assert all(own.shape == given.shape and not torch.equal(own, given) for own, given in pairs)


@pytest.mark.parametrize("quantised", [False, True])
def test_every_weight_learns_behind_a_haystack_under_autocast(quantised):
    """Reading without gradient leaves casts and quantised weights behind that must not be used again."""
    cfg = SynapNetEdgeConfig.from_dict({**TINY.to_dict(), "vocab_size": 4096, "num_classes": 64})
    curriculum = [{"length": 64, "batch": 3, "readouts": 2, "haystack": 256}]
    data = {"curriculum": curriculum, "mixture": {"reference/niah_single": 1.0}}
    model = tiny(0, cfg)
    if quantised:
        apply_cajq(model, CAJQConfig(), mode="qat")
    before = {name: x.detach().clone() for name, x in model.named_parameters() if x.dim() == 2}
    config = FinetuneConfig(steps=3, autocast="bfloat16")
    finetune(model, finetune_steps(data, cfg, 5), config, tiny(1, cfg), **QUIET)
    after = dict(model.named_parameters())
    assert not [name for name, x in before.items() if torch.equal(x, after[name])]


def test_allocating_needs_the_sensitivity(pretrained, tmp_path):
    with pytest.raises(ValueError, match="needs the table of the sensitivity stage"):
        quantize_variant(
            pretrained / "model.safetensors",
            pretrained / "stats.safetensors",
            "cajq_full_ptq",
            {},
            0,
            tmp_path / "m.safetensors",
            tmp_path / "m.csv",
        )


def test_a_variant_that_needs_statistics_says_so(pretrained, tmp_path):
    with pytest.raises(ValueError, match="needs the statistics of the calibrate stage"):
        quantize_variant(
            pretrained / "model.safetensors",
            None,
            "int4_awq",
            {},
            0,
            tmp_path / "m.safetensors",
            tmp_path / "m.csv",
        )


def test_a_variant_that_trains_needs_its_steps(pretrained, tmp_path):
    with pytest.raises(ValueError, match="'cajq_qat' trains, but found no 'steps'"):
        quantize_variant(
            pretrained / "model.safetensors",
            pretrained / "stats.safetensors",
            "cajq_qat",
            {"chunk_lens": [16]},
            0,
            tmp_path / "m.safetensors",
            tmp_path / "m.csv",
        )


def test_weights_are_quantised_once_a_pass_and_give_the_same_gradients():
    gradients = []
    for once in (False, True):
        model = apply_cajq(tiny(), CAJQConfig(), mode="qat")
        layer = model.blocks[0].ssm.in_proj
        calls = []
        original = layer.quantized_weight
        layer.quantized_weight = lambda calls=calls, original=original: calls.append(1) or original()
        with quantize_once(model) if once else contextlib.nullcontext():
            loss = model(torch.arange(40).reshape(1, 40)).square().sum()
        assert len(calls) == (1 if once else 2) and layer._shared is None
        loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-5)
