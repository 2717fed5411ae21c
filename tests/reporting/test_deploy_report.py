"""The deployment page: goals are ratios within one run, estimates and random weights are called so."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.reporting.deploy import write_page
from synapnet_edge.reporting.deploy_goals import goals

ARM = {"tier": "cpu_single", "model": "reference", "variant": "cajq_qat", "backend": "fast", "threads": 1}


def row(metric, value, context=0, method="made", **change):
    facts = ARM | {"context": context, "metric": metric, "value": value, "unit": "1", "ci_low": value}
    return facts | {"ci_high": value, "repeats": 3, "method": method} | change


@pytest.fixture
def table():
    floats = {"variant": "fp16", "backend": "torch-bf16"}
    return pd.DataFrame(
        [
            row("decode_tokens_per_second", 1600.0, 512),
            row("decode_tokens_per_second", 1500.0, 1024),
            row("decode_tokens_per_second", 1470.0, 65536),
            row("decode_tokens_per_second", 100.0, 512, **floats),
            row("decode_tokens_per_second", 200.0, 512, **floats | {"backend": "torch-fp32"}),
            row("prefill_tokens_per_second", 9000.0, 512),
            row("prefill_tokens_per_second", 5000.0, 512, **floats),
            row("prefill_piece_tokens_per_second", 7500.0, 128),
            row("prefill_piece_tokens_per_second", 5000.0, 128, **floats),
            row("activation_bytes", 6.0e6, 512),
            row("activation_bytes", 7.0e6, 1024),
            row("activation_bytes", 7.1e6, 65536),
            row("runtime_rss_bytes", 3.0e8),
            row("steady_rss_bytes", 3.4e8, 65536),
            row("peak_rss_bytes", 3.5e8, 65536),
            row("sustained_ratio", 0.98, 512),
            row("energy_per_token_joule", 0.01, 512, "estimate: 15 W rated power x wall time"),
            row("forward_seconds", 0.1, 1024),
            row("forward_seconds", 0.6, 1024, variant="dense_same_shape", backend="torch-bf16"),
            row("limit_macs_per_second", 1e11, variant="machine", backend="int8"),
        ]
    )


def verdicts(table):
    return {goal.goal: (goal.measured, goal.met) for goal in goals(table)}


def test_every_goal_is_a_ratio_against_the_best_arm_that_qualifies(table):
    found = verdicts(table)
    what = "reference on cpu_single: cajq_qat (fast)"
    assert found[f"{what}: decode at 512 tokens at least 7x the best float arm (torch-fp32)"] == (
        "8.00x",
        True,
    )
    piece = f"{what}: prefill in pieces of 128 at least 2x the best float arm (torch-bf16)"
    assert found[piece] == ("1.50x", False)
    assert found[f"{what}: decode speed at 65536 tokens / at 1024 at least 0.95"] == ("0.980", True)
    assert found[f"{what}: activation memory at 65536 tokens / at 1024 at most 1.05"] == ("1.014", True)
    assert found[f"{what}: a streaming process holds at most 30 MB beyond its runtime"] == ("40.0 MB", False)
    assert found[f"{what}: last window of sustained decoding / first at least 0.97"] == ("0.980", True)
    dense = "reference on cpu_single: a pass over 1024 tokens at least 5x as fast as the dense model's"
    assert found[dense] == ("6.00x with cajq_qat (fast)", True)


def test_a_flat_goal_says_how_far_it_was_measured(table):
    short = table[table["context"] < 65536]
    short = pd.concat([short, pd.DataFrame([row("decode_tokens_per_second", 1490.0, 4096)])])
    goal = "reference on cpu_single: cajq_qat (fast): decode speed at 4096 tokens / at 1024 at least 0.95"
    assert verdicts(short)[goal] == ("0.993, measured to 4096 tokens only", True)


def test_without_a_packed_arm_nothing_is_claimed(table):
    found = goals(table[table["backend"] != "fast"].assign(variant="cajq_qat", backend="torch-reference"))
    assert [goal.met for goal in found] == [None]


def test_the_large_shape_with_random_weights_has_its_own_goal(table):
    table["model"] = "large_random"
    assert any("decode at 512 tokens at least 6x" in name for name in verdicts(table))


def test_the_page_names_machines_estimates_and_what_was_left_out(table, tmp_path):
    manifests = [
        {
            "tier": "cpu_single",
            "machine": {"processor": "A processor", "usable_cores": 2, "memory_bytes": 2**34},
            "not_measured": {"onnx": "onnxruntime is not installed"},
        },
        {"tier": "cuda", "unavailable": "tier cuda: no CUDA device is visible to torch", "machine": {}},
    ]
    write_page({"deploy": table}, {}, manifests, tmp_path / "deploy.md")
    text = (tmp_path / "deploy.md").read_text()
    assert "cuda: not measured here (tier cuda: no CUDA device is visible to torch)" in text
    assert "| cpu_single | A processor | 2 | 16 |" in text and "| cuda |" not in text
    assert "1.00e-02 (estimate)" in text
    assert "cpu_single, onnx: onnxruntime is not installed" in text
    assert "dense_same_shape" not in text.split("## Goals")[0] and "machine |" not in text
