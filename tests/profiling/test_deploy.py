"""A tier's profile has the contract's rows, from real models, without a claim of packed speed."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.profiling import (
    DeployConfig,
    TierUnavailable,
    deploy,
    empty_table,
    memory,
    profile_tier,
    stream,
)
from synapnet_edge.quantization import VARIANTS, apply_recipe, save_quantized

TINY = SynapNetEdgeConfig(
    dim=32, depth=1, vocab_size=96, heads=2, episodic_slots=4, chunk_len=16, window=8, top_k=4, ff_hidden=32
)
SETTINGS = {"contexts": [32, 48], "chunk_size": 16, "decode_tokens": 2, "repeats": 3, "rss_contexts": []}
SPEEDS = {"prefill_tokens_per_second", "decode_tokens_per_second"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    model = SynapNetEdge(TINY)
    found = {}
    for variant in ("fp16", "int8"):
        recipe = VARIANTS.get(variant).recipe
        found[variant] = folder / f"{variant}.safetensors"
        save_quantized(apply_recipe(model, recipe), recipe, found[variant], variant=variant)
    return found


@pytest.fixture(scope="module")
def profile(paths):
    return profile_tier("cpu_single", paths, SETTINGS, "tiny", threads=2)


def test_tables_have_exactly_the_deploy_columns(profile):
    assert set(profile) == {"fp16", "int8"}
    for variant, table in profile.items():
        assert tuple(table.columns) == deploy.COLUMNS
        assert set(table["variant"]) == {variant} and set(table["model"]) == {"tiny"}
        assert not table[["value", "ci_low", "ci_high", "unit", "method"]].isna().any().any()


def test_float_runs_in_both_float_types_and_low_bits_as_reference(profile):
    assert set(profile["fp16"]["backend"]) == {"torch-fp32", "torch-bf16"}
    assert set(profile["int8"]["backend"]) == {"torch-reference"}


def test_every_context_has_prefill_and_decode_with_interval_and_repeats(profile):
    for table in profile.values():
        speed = table[table["metric"].isin(SPEEDS)]
        for _, arm in speed.groupby("backend"):
            assert {(r.metric, r.context) for r in arm.itertuples()} == {
                (metric, context) for metric in SPEEDS for context in (32, 48)
            }
        assert (speed["repeats"] == 3).all() and (speed["value"] > 0).all()
        assert (speed["ci_low"] <= speed["value"]).all() and (speed["value"] <= speed["ci_high"]).all()


def test_the_threads_used_are_recorded_and_restored(paths):
    before = torch.get_num_threads()
    table = profile_tier("cpu_single", paths, SETTINGS, "tiny", threads=2)["fp16"]
    assert set(table["threads"]) == {1}
    assert torch.get_num_threads() == before


def test_sizes_are_those_of_the_file_and_of_the_loaded_tensors(profile, paths):
    table = profile["fp16"].set_index(["backend", "metric"])["value"]
    assert table["torch-fp32", "file_bytes"] == paths["fp16"].stat().st_size
    assert table["torch-fp32", "parameter_bytes"] == 2 * table["torch-bf16", "parameter_bytes"]
    model = stream.load_for(paths["fp16"], "float32", "cpu")
    assert table["torch-fp32", "parameter_bytes"] == 4 * sum(
        t.numel() for t in [*model.parameters(), *model.buffers()]
    )


def test_reference_rows_deny_packed_speed_and_memory(profile):
    table = profile["int8"]
    claims = table[table["metric"] != "file_bytes"]["method"]
    assert claims.str.contains("dequantised").all()
    assert not profile["fp16"]["method"].str.contains("dequantised").any()


def test_a_probe_process_reads_more_than_an_empty_interpreter(paths):
    found = memory.probe_model(paths["fp16"], 32, dtype="bfloat16", device="cpu", chunk_size=16, threads=1)
    baseline = memory.baseline_rss_bytes(1)
    assert baseline < found["loaded_rss_bytes"] <= found["steady_rss_bytes"]
    assert found["steady_rss_bytes"] <= found["peak_rss_bytes"] + 2**20


def test_memory_rows_are_medians_of_fresh_processes_at_each_context(paths, monkeypatch):
    calls = []

    def probe(path, context, *, dtype, **_):
        calls.append((path.stem, dtype))
        return {"peak_rss_bytes": 1e6 * len(calls), "steady_rss_bytes": 5e5, "loaded_rss_bytes": 4e5}

    monkeypatch.setattr(deploy, "probe_model", probe)
    monkeypatch.setattr(deploy, "baseline_rss_bytes", lambda threads: 3e5)
    settings = SETTINGS | {"contexts": [16], "rss_contexts": [32]}
    tables = profile_tier("cpu_single", paths, settings, "tiny", threads=1)
    assert calls[:3] == [("fp16", "float32"), ("fp16", "bfloat16"), ("int8", "float32")] and len(calls) == 9
    rows = tables["int8"].set_index("metric")
    assert rows.loc["peak_rss_bytes", ["context", "value", "ci_low", "ci_high"]].tolist() == [
        32,
        5e6,
        3e6,
        7e6,
    ]
    assert rows.loc["baseline_rss_bytes", "value"] == 3e5
    assert "dequantised" in rows.loc["peak_rss_bytes", "method"]
    assert "dequantised" not in rows.loc["baseline_rss_bytes", "method"]


def test_prefill_and_decode_follow_the_model_step_by_step(paths):
    model = stream.load_for(paths["fp16"], "float32", "cpu")
    ids = stream.random_ids(96, 40, 3, "cpu")
    state = stream.decode(model, ids[:, 37:], stream.prefill(model, ids[:, :37], 16))
    assert state.tokens == 40
    assert torch.equal(ids, stream.random_ids(96, 40, 3, "cpu"))


def test_a_missing_tier_raises_and_the_empty_table_keeps_its_columns(paths, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TierUnavailable, match="cuda"):
        profile_tier("cuda", paths, SETTINGS, "tiny", threads=1)
    assert tuple(empty_table().columns) == deploy.COLUMNS and empty_table().empty


@pytest.mark.parametrize(
    ("change", "key"),
    [({"repeats": 2}, "repeats"), ({"contexts": []}, "contexts"), ({"contexts": [0]}, "contexts")],
)
def test_impossible_settings_name_the_key(change, key):
    with pytest.raises(ValueError, match=rf"deploy\.{key}"):
        DeployConfig.from_mapping(SETTINGS | change)
