"""The summary says what the tables say, in their numbers, and changes when they change."""

from __future__ import annotations

import re
from itertools import product
from math import isnan

import pandas as pd
import pytest

from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.reporting import PUBLISHED, published, write_summary
from synapnet_edge.reporting.aggregate import eviction as pool_eviction
from synapnet_edge.reporting.aggregate import paired_difference, scores
from synapnet_edge.tasks import TASKS

SCORES = {
    ("fp16", 1024): (0.990, 0.996, 1.0),
    ("fp16", 2048): (0.95, 0.97, 0.99),
    ("fp16_ft", 1024): (0.99, 0.99, 0.99),
    ("fp16_ft", 2048): (0.97, 0.97, 0.97),
    ("int4", 1024): (0.98, 0.98, 0.98),
    ("int4", 2048): (0.96, 0.96, 0.96),
    ("cajq_qat", 1024): (0.99, 0.99, 0.99),
    ("cajq_qat", 2048): (0.90, 0.91, 0.92),
}
POLICIES = {"baee": (0.5, 0.6), "fifo": (0.2, 0.7), "oracle": (0.95, 0.97)}


def benchmark(task="reference/niah_single", guess=1.0, values=SCORES):
    rows = [
        dict(suite="ruler_reference", task=task, task_version=1, model="reference", variant=variant)
        | dict(backend="torch", seed=seed, length=length, n=200, score=score, ci_low=0, ci_high=1)
        | dict(chance=1 / 64, guess=guess)
        for (variant, length), scores in values.items()
        for seed, score in enumerate(scores, 42)
    ]
    return pd.DataFrame(rows)


def ledger():
    sizes = {"fp16": 2_000_000, "int4": 500_000, "cajq_qat": 1_000_000}
    rows = [
        dict(component=part, tensor=f"{part}.w", parameters=500_000, bits=0, bytes=total // 2)
        | dict(model="reference", seed=seed, variant=variant)
        for (variant, total), part, seed in product(sizes.items(), ("ff", "ssm"), (42, 43))
    ]
    return pd.DataFrame(rows)


def eviction(full=0.96):
    rows = [
        dict(task="reference/memory_pressure_niah", policy=policy, budget=budget, position="early")
        | dict(length=2048, seed=seed, query_aware=False, n=64, accuracy=value, ci_low=0, ci_high=1)
        | dict(retention=value / 2, accuracy_retained=1, accuracy_evicted=0, accuracy_full=full)
        | dict(bytes=int(1e6 * budget), retention_same_layer=value / 3, precision=value)
        for (policy, values), seed in product(POLICIES.items(), (42, 43))
        for budget, value in zip((0.1, 0.5), values, strict=True)
    ]
    return pd.DataFrame(rows)


def deploy():
    speeds = {("fp16", "torch-fp32"): 100.0, ("fp16", "torch-bf16"): 150.0, ("int4", "torch-reference"): 99.0}
    rows = [
        dict(
            tier="cpu_single", model="reference", variant=variant, backend=backend, threads=1, context=context
        )
        | dict(
            metric=f"{word}_tokens_per_second", value=value - context / 100, unit="token/s", ci_low=value - 30
        )
        | dict(ci_high=value + 1, repeats=3, method="synthetic")
        for ((variant, backend), value), context, word in product(
            speeds.items(), (512, 1024), ("prefill", "decode")
        )
    ]
    return pd.DataFrame(rows)


def history():
    rows = [
        dict(
            step=step, stage=0, length=64, loss=4.0 / step, accuracy=0.5, learning_rate=1e-3, write_share=1.0
        )
        | dict(tokens=1000 * step, tokens_per_second=1.0, seconds=0.5 * step, model="reference", seed=42)
        for step in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def tables():
    guarded = {key: tuple(0.9 for _ in values) for key, values in SCORES.items()}
    both = pd.concat([benchmark(), benchmark("ruler/niah_multikey_1", 0.27, guarded)], ignore_index=True)
    return {
        "benchmark": both,
        "ledger": ledger(),
        "eviction": eviction(),
        "deploy": deploy(),
        "history": history(),
    }


CONFIG = {
    "eviction": {"model": "reference", "variant": "fp16"},
    "benchmark": {"suites": {"ruler_reference": {}, "long_context": {"variants": ["fp16"]}}},
}


def render(tables, folder, manifests=None):
    write_summary(tables, CONFIG, folder / "s.md", folder, manifests)
    return (folder / "s.md").read_text()


def section(text, title):
    return re.split(r"\n##?#? ", text.split(f"### {title}", 1)[1], maxsplit=1)[0]


def test_headline_has_mean_std_pooled_interval_and_the_published_cell(tables, tmp_path):
    head = section(render(tables, tmp_path), "Headline")
    row = next(line for line in head.splitlines() if "| fp16 | 1024 |" in line)
    low, high = wilson_interval(round(200 * (0.990 + 0.996 + 1.0)), 600)
    for piece in ("0.995 ± 0.005", "3 × 200", f"[{low:.3f}, {high:.3f}]", "0.016", "0.618 ± 0.107"):
        assert piece in row, f"{piece} not in {row}"
    assert "| fp16_ft | 1024 | 0.990 ± 0.000" in head and "| – |" in head


def test_a_changed_score_changes_the_text_and_the_verdict(tables, tmp_path):
    before = render(tables, tmp_path)
    rows = tables["benchmark"]
    mine = (rows["task"] == "reference/niah_single") & (rows["variant"] == "fp16") & (rows["length"] == 1024)
    rows.loc[mine, "score"] = 0.75
    after = render(tables, tmp_path)
    assert "0.750 ± 0.000" in after and "0.750 ± 0.000" not in before
    goal = "NIAH-single, fp16, length 1024"
    assert "**met**" in next(line for line in before.splitlines() if goal in line)
    assert "**missed**" in next(line for line in after.splitlines() if goal in line)


def test_two_seeds_do_not_meet_the_three_seed_goal(tables, tmp_path):
    rows = tables["benchmark"]
    tables["benchmark"] = rows[rows["seed"] != 44]
    goals = section(render(tables, tmp_path), "Goals")
    line = next(line for line in goals.splitlines() if "length 1024" in line)
    assert "2 seeds" in line and "**missed**" in line


def test_one_seed_gives_no_spread(tables, tmp_path):
    tables["benchmark"] = tables["benchmark"][tables["benchmark"]["seed"] == 42]
    head = section(render(tables, tmp_path), "Headline")
    assert "| 0.990 | 1 × 200 |" in head


def test_losses_of_cajq_are_said_with_their_size(tables, tmp_path):
    negative = section(render(tables, tmp_path), "Negative results")
    assert "int4 scores higher than cajq_qat" in negative and "at 2048 by 5.0 points" in negative
    assert "cajq_qat (reference) stores 2.00 times the bytes of int4" in negative
    assert "fifo answers better than baee in 1 of 2 interpretable cells, most by 10.0 points" in negative
    assert "oracle answers" not in negative
    assert "solves reference/niah_single completely" in negative


def test_float_score_at_the_guess_is_called_unsolved(tables, tmp_path):
    rows = tables["benchmark"]
    rows.loc[rows["task"] == "ruler/niah_multikey_1", "score"] = 0.28
    negative = section(render(tables, tmp_path), "Negative results")
    assert (
        "fp16 (reference) is not above the best shortcut (0.270) on ruler/niah_multikey_1 at 1024, 2048"
        in negative
    )


def test_sizes_are_bytes_bits_and_ratio(tables, tmp_path):
    sizes = section(render(tables, tmp_path), "Stored size")
    assert "| cajq_qat | 1,000,000 | 1.00 | 8.00 | 2.00x |" in sizes
    stored = pd.read_csv(tmp_path / "sizes.csv").set_index("variant")
    assert stored.loc["int4", "mean_bits"] == 4.0 and stored.loc["int4", "compression"] == 4.0


def test_control_difference_is_paired_by_seed(tables, tmp_path):
    gap = paired_difference(benchmark(), "cajq_qat", "fp16_ft").set_index("length")
    assert gap.loc[2048, "difference"] == pytest.approx(-0.06)
    assert gap.loc[2048, "std"] == pytest.approx(0.01)
    control = section(render(tables, tmp_path), "Quantisation-aware training against controls")
    assert "| cajq_qat − fp16_ft | +0.0 ± 0.0 | -6.0 ± 1.0 | 3 |" in control


def test_eviction_cells_below_the_floor_are_marked(tables, tmp_path):
    good = section(render(tables, tmp_path), "Memory under a budget")
    assert "not interpretable |" not in good and "0.500 [" in good and "0.25 /" in good
    tables["eviction"] = eviction(full=0.2)
    text = render(tables, tmp_path)
    assert section(text, "Memory under a budget").count("| not interpretable |") == 3
    assert "6 of 6 eviction cells are not interpretable" in section(text, "Negative results")
    assert "fifo answers better" not in text


def test_eviction_without_a_known_floor_is_not_interpretable():
    assert not pool_eviction(eviction(), {})["interpretable"].any()


def test_eviction_floor_is_the_level_without_binding(tables, tmp_path):
    render(tables, tmp_path)
    floor = pd.read_csv(tmp_path / "eviction.csv")["floor"].iloc[0]
    assert floor == pytest.approx(TASKS.get("reference/memory_pressure_niah").in_context_guess(2048))


def test_deploy_names_the_best_float_arm_and_claims_no_packed_speed(tables, tmp_path):
    text = section(render(tables, tmp_path), "Deployment")
    assert "decode is **fp16 on torch-bf16** (142 tokens/s" in text
    assert "say nothing about the speed or the memory of quantised inference" in text


def test_a_tier_that_is_missing_is_said_with_its_reason(tables, tmp_path):
    manifests = [{"stage": "deploy", "wall_seconds": 1, "tier": "cuda", "unavailable": "no CUDA device"}]
    assert "cuda: not measured here (no CUDA device)" in render(tables, tmp_path, manifests)


def test_training_and_run_cost_come_from_history_and_manifests(tables, tmp_path):
    one_job = {"stage": "deploy", "wall_seconds": 60.0, "cpu_seconds": 90.0, "config_hash": "a"}
    parts = {"ssm": 1000, "ff": 234}
    pretrain = {
        "stage": "pretrain",
        "wall_seconds": 120.0,
        "cpu_seconds": 60.0,
        "model": "reference",
        "component_parameters": parts,
    }
    text = render(tables, tmp_path, [one_job, one_job, pretrain])
    assert "| reference | 42 | 3 | 3,000 | 2 | 2,000 |" in section(text, "Training cost")
    assert "| deploy | 1 | 1.0 | 1.5 |" in text and "Together 2.5 core-minutes" in text
    assert "Parameters of reference: 1,234 (ssm 1,000, ff 234)" in text


def test_the_classifier_is_reported_with_its_controls(tables, tmp_path):
    epochs = {"seed": [42, 42], "epoch": [1, 2], "validation_auc": [0.5, 0.91], "shuffled_auc": [0.5, 0.49]}
    fixed = {
        "best_feature": "log_mass",
        "best_feature_auc": 0.8,
        "best_feature_task_auc": 0.7,
        "task_auc": 0.75,
        "parameters": 3441,
        "validation_examples": 99,
    }
    text = render(tables | {"retention": pd.DataFrame(epochs).assign(**fixed)}, tmp_path)
    row = "| 42 | 3,441 | 99 | 0.910 | 0.750 | 0.490 | 0.800 / 0.700 (log_mass) |"
    assert row in section(text, "Retention classifier")
    assert "best single input" not in text
    better = pd.DataFrame(epochs).assign(**fixed | {"best_feature_auc": 0.95})
    text = render(tables | {"retention": better}, tmp_path)
    assert "in 1 of 1 seeds, most by 0.040 AUC (log_mass, seed 42)" in section(text, "Negative results")


def test_csv_tables_hold_every_row(tables, tmp_path):
    render(tables, tmp_path)
    assert len(pd.read_csv(tmp_path / "benchmark.csv")) == len(tables["benchmark"])
    assert len(pd.read_csv(tmp_path / "deploy.csv")) == len(tables["deploy"])
    assert len(pd.read_csv(tmp_path / "headline.csv")) == len(SCORES)


def test_no_table_at_all_is_reported_as_not_measured(tmp_path):
    text = render({}, tmp_path)
    assert text.count("Not measured in this run.") >= 6
    assert "**met**" not in text and "**missed**" not in text


def test_tiers_without_rows_do_not_break_the_summary(tables, tmp_path):
    empty = pd.read_csv(_header_only(tmp_path, tables["deploy"]))
    tables["deploy"] = pd.concat([empty, tables["deploy"]], ignore_index=True)
    assert "fp16 on torch-bf16" in render(tables, tmp_path)


def _header_only(folder, table):
    table.iloc[:0].to_csv(folder / "empty.csv", index=False)
    return folder / "empty.csv"


def test_a_missing_column_is_named(tables, tmp_path):
    tables["ledger"] = tables["ledger"].drop(columns="bytes")
    with pytest.raises(ValueError, match=r"ledger.*bytes"):
        render(tables, tmp_path)


def test_scores_weight_seeds_equally_and_pool_the_interval():
    cell = scores(benchmark()).query("variant == 'fp16' and length == 2048").iloc[0]
    assert cell["mean"] == pytest.approx(0.97) and cell["n_total"] == 600
    assert cell["floor"] == pytest.approx(1 / 64)  # a shortcut that is always right is no floor


def test_published_numbers_are_those_of_the_publication():
    assert published("reference/niah_single", "cajq_qat", 4096).mean == 0.521
    assert published("reference/niah_single", "fp16", 1024).std == 0.107
    assert published("reference/niah_single", "int4", 1024) is None
    assert all(0 <= row.mean <= 1 and (row.std is None or not isnan(row.std)) for row in PUBLISHED)
