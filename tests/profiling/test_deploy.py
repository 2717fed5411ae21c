"""A tier's profile has the contract's rows, from real models, without a claim of packed speed."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.profiling import DeployConfig, TierUnavailable, empty_profile, processes, profile_tier
from synapnet_edge.profiling.backends import BACKENDS
from synapnet_edge.profiling.bench import COLUMNS, TRACE_COLUMNS, arms_of
from synapnet_edge.profiling.metrics import METRICS
from synapnet_edge.profiling.outputs import measure_tier
from synapnet_edge.results_tree import DENSE, MACHINE

TORCH = ("torch-fp32", "torch-bf16", "torch-reference")
SETTINGS = {
    "backends": TORCH,
    "metrics": ("sizes", "speed", "pieces", "dense", "sustained", "roofline"),
    "contexts": [32, 48],
    "chunk_size": 16,
    "pieces": [8, 32],
    "decode_tokens": 4,
    "repeats": 3,
    "rss_contexts": [],
    "sustained_seconds": 0.2,
    "sustained_window": 0.1,
    "dense_lengths": [24],
}
SPEEDS = {
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
    "first_token_seconds",
    "token_p50_seconds",
    "token_p99_seconds",
}


@pytest.fixture(scope="module")
def small_limits():
    from synapnet_edge.profiling import limits

    patch = pytest.MonkeyPatch()
    patch.setattr(limits, "READ_BYTES", 2**20)
    patch.setattr(limits, "SIZES", {"cpu": 64})
    yield
    patch.undo()


@pytest.fixture(scope="module")
def profile(paths, small_limits):
    return profile_tier("cpu_single", paths, SETTINGS, "tiny_random", threads=2)


def test_tables_have_exactly_the_deploy_columns(profile):
    assert set(profile.tables) == {"fp16", "int8", DENSE, MACHINE}
    for variant, table in profile.tables.items():
        assert tuple(table.columns) == COLUMNS
        assert set(table["variant"]) == {variant} and set(table["model"]) == {"tiny_random"}
        assert not table[["value", "ci_low", "ci_high", "unit", "method"]].isna().any().any()
        assert set(table["threads"]) == {1}
    assert tuple(profile.trace.columns) == TRACE_COLUMNS and len(profile.trace)


def test_float_runs_in_both_float_types_and_low_bits_as_reference(profile):
    assert set(profile.tables["fp16"]["backend"]) == {"torch-fp32", "torch-bf16"}
    assert set(profile.tables["int8"]["backend"]) == {"torch-reference"}


def test_every_context_has_every_speed_with_interval_and_repeats(profile):
    for variant in ("fp16", "int8"):
        table = profile.tables[variant]
        speed = table[table["metric"].isin(SPEEDS)]
        for _, arm in speed.groupby("backend"):
            cells = {(row.metric, row.context) for row in arm.itertuples()}
            assert cells == {(metric, context) for metric in SPEEDS for context in (32, 48)}
        assert (speed["repeats"] == 3).all() and (speed["value"] > 0).all()
        assert (speed["ci_low"] <= speed["value"]).all() and (speed["value"] <= speed["ci_high"]).all()


def test_a_single_token_is_not_faster_at_its_99th_percentile_than_at_its_median(profile):
    table = profile.tables["fp16"].set_index(["backend", "context", "metric"])["value"]
    for backend in ("torch-fp32", "torch-bf16"):
        assert table[backend, 32, "token_p50_seconds"] <= table[backend, 32, "token_p99_seconds"]
        first = table[backend, 48, "first_token_seconds"]
        assert first >= 48 / table[backend, 48, "prefill_tokens_per_second"] * 0.5


def test_sizes_are_those_of_the_file_and_of_the_loaded_tensors(profile, paths):
    table = profile.tables["fp16"].set_index(["backend", "metric"])["value"]
    assert table["torch-fp32", "file_bytes"] == paths["fp16"].stat().st_size
    assert table["torch-fp32", "parameter_bytes"] == 2 * table["torch-bf16", "parameter_bytes"]
    model = BACKENDS.get("torch-fp32").load(paths["fp16"], "cpu", 1).model
    floats = sum(tensor.numel() for tensor in [*model.parameters(), *model.buffers()])
    assert table["torch-fp32", "parameter_bytes"] == 4 * floats


def test_reference_rows_deny_packed_speed_and_memory(profile):
    table = profile.tables["int8"]
    assert table[table["metric"] != "file_bytes"]["method"].str.contains("dequantised").all()
    assert not profile.tables["fp16"]["method"].str.contains("dequantised").any()


def test_energy_without_a_counter_is_marked_as_an_estimate(profile):
    rows = profile.tables["fp16"].set_index("metric")
    method = rows.loc["energy_per_token_joule", "method"]
    assert method.str.startswith(("estimate", "RAPL")).all()
    tokens = rows.loc["sustained_tokens_per_second", "value"].to_numpy()
    assert (tokens > 0).all()


def test_the_dense_model_is_measured_beside_the_arms_and_its_weights_are_called_random(profile):
    dense = profile.tables[DENSE]
    passes = dense[dense["metric"] == "forward_seconds"]
    assert set(passes["backend"]) == {"torch-fp32", "torch-bf16"}
    assert passes["method"].str.contains("random weights").all()
    ours = profile.tables["fp16"]
    assert set(ours.loc[ours["metric"] == "forward_seconds", "context"]) == {24}


def test_work_per_token_is_the_same_for_all_arms_and_limits_are_positive(profile):
    every = [profile.tables[v] for v in ("fp16", "int8")]
    macs = {row.value for t in every for row in t.itertuples() if row.metric == "decode_macs_per_token"}
    assert len(macs) == 1 and macs.pop() > 32 * 32
    machine = profile.tables[MACHINE]
    assert (machine["value"] > 0).all()
    assert {"limit_read_bytes_per_second", "limit_macs_per_second"} == set(machine["metric"])
    half = profile.tables["fp16"].set_index(["backend", "metric"])["value"]
    ratio = half["torch-fp32", "decode_bytes_per_token"] / half["torch-bf16", "decode_bytes_per_token"]
    assert 1.8 < ratio < 2.2


def test_the_threads_are_restored_and_the_machine_is_named(profile):
    assert torch.get_num_threads() == 1
    assert profile.machine["processor"] and profile.machine["usable_cores"] >= 1
    assert set(profile.seconds) == set(SETTINGS["metrics"])


def test_a_probe_process_reads_more_than_an_empty_interpreter_and_activations_stay_flat(paths):
    found = processes.probe(
        paths["fp16"], "torch-bf16", (32, 256, 1024), device="cpu", chunk_size=16, threads=1
    )
    baseline = processes.baseline_rss_bytes(1)
    assert baseline < found["loaded_rss_bytes"] <= found["steady_rss_bytes"] + 2**20
    assert found["steady_rss_bytes"] <= found["peak_rss_bytes"] + 2**20
    points = {point["context"]: point for point in found["checkpoints"]}
    assert points[256]["store_bytes"] == points[1024]["store_bytes"] > 0  # the memory is full at 32 tokens
    assert points[1024]["activation_bytes"] <= points[256]["activation_bytes"] + 2**20
    assert len(found["trace"]) >= 2


def test_memory_rows_are_medians_of_fresh_processes_at_each_context(paths, monkeypatch):
    calls = []

    def probe(path, backend, contexts, **_):
        calls.append((path.stem, backend))
        at = [
            {"context": c, "activation_bytes": 7.0 * c, "state_bytes": 5.0, "store_bytes": 4.0}
            | {"on_device": False}
            for c in contexts
        ]
        readings = {"peak_rss_bytes": 1e6 * len(calls), "steady_rss_bytes": 5e5, "loaded_rss_bytes": 4e5}
        return readings | {
            "steady_private_bytes": None,
            "peak_resets": True,
            "checkpoints": at,
            "trace": [[0, 1]],
        }

    monkeypatch.setattr(processes, "probe", probe)
    monkeypatch.setattr(processes, "baseline_rss_bytes", lambda threads: 3e5)
    settings = SETTINGS | {"metrics": ["activation", "store", "rss"], "rss_contexts": [16, 32]}
    tables = profile_tier("cpu_single", paths, settings, "tiny", threads=1).tables
    assert calls[:3] == [("fp16", "torch-fp32"), ("fp16", "torch-bf16"), ("int8", "torch-reference")]
    assert calls[3] == ("fp16", "torch-bf16")  # each round starts one arm further
    assert len(calls) == 9 + 3  # and one process per backend with hardly a model
    rows = tables["int8"].set_index(["metric", "context"])["value"]
    assert rows["peak_rss_bytes", 32] == 5e6 and rows["baseline_rss_bytes", 0] == 3e5
    assert rows["activation_bytes", 16] == 112.0 and rows["store_bytes", 32] == 4.0
    assert "steady_private_bytes" not in rows.index.get_level_values(0)


def test_detail_variants_limit_the_long_measurements(paths):
    settings = SETTINGS | {"metrics": ["sustained"], "detail_variants": ["int8"]}
    tables = profile_tier("cpu_single", paths, settings, "tiny", threads=1).tables
    assert tables["fp16"].empty and len(tables["int8"])


def test_a_metric_begins_only_while_there_is_time(paths):
    found = profile_tier("cpu_single", paths, SETTINGS | {"metrics": ["sizes"]}, "tiny", 1, until=0.0)
    assert found.tables["fp16"].empty and "used up" in found.skipped["metric sizes"]


def test_a_backend_that_cannot_compute_on_the_tier_is_named_with_its_reason(paths, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    arms, skipped = arms_of(paths, ("torch-fp32", "fast"), "cuda")
    assert [arm.key for arm in arms] == ["fp16/torch-fp32"]
    assert "CPU only" in skipped["fast"]


def test_a_file_that_a_backend_refuses_is_left_out_with_what_it_said(paths, monkeypatch):
    backend = BACKENDS.get("torch-reference")

    def refuse(path, device, threads):
        raise ValueError("no kernel for groups of 7 columns")

    monkeypatch.setattr(type(backend), "load", lambda self, *rest: refuse(*rest))
    found = profile_tier("cpu_single", paths, SETTINGS | {"metrics": ["sizes"]}, "tiny", threads=1)
    assert len(found.tables["fp16"]) and found.tables["int8"].empty
    assert found.skipped["int8/torch-reference"].endswith("no kernel for groups of 7 columns")


def test_a_missing_tier_raises_and_its_files_are_empty_and_say_why(paths, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TierUnavailable, match="cuda"):
        profile_tier("cuda", paths, SETTINGS, "tiny", threads=1)
    files = [tmp_path / f"{name}.csv" for name in empty_profile(list(paths)).tables]
    trace = tmp_path / "tiny.trace.csv"
    measure_tier("cuda", "tiny", paths, SETTINGS, files, trace, threads=1, code="c", started=0.0)
    from synapnet_edge.artifacts import read_json, read_table

    assert {file.stem for file in files} == {"fp16", "int8", DENSE, MACHINE}
    for file in files:
        assert tuple(read_table(file).columns) == COLUMNS and read_table(file).empty
        assert "no CUDA device" in read_json(f"{file}.manifest.json")["unavailable"]
    assert tuple(read_table(trace).columns) == TRACE_COLUMNS


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"repeats": 2}, "repeats"),
        ({"contexts": []}, "contexts"),
        ({"contexts": [0]}, "contexts"),
        ({"backends": []}, "backends"),
        ({"sustained_seconds": 0.1}, "sustained_seconds"),
    ],
)
def test_impossible_settings_name_the_key(change, key):
    with pytest.raises(ValueError, match=rf"deploy\.{key}"):
        DeployConfig.from_mapping(SETTINGS | change)


def test_every_metric_and_backend_has_a_name_and_metrics_a_description():
    assert all(METRICS.get(name).name == name and METRICS.get(name).description for name in METRICS)
    assert all(BACKENDS.get(name).name == name for name in BACKENDS)
