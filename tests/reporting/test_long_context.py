"""Goals of the long-context table and what is said about an experiment's arms."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.evaluation.statistics import wilson_interval
from synapnet_edge.reporting import long_context, targets
from synapnet_edge.reporting.ablation import compare, pooled, section, sentence, unhelpful
from synapnet_edge.reporting.aggregate import scores
from synapnet_edge.reporting.summary import write_summary

CONFIG = {"benchmark": {"suites": {"ruler_reference": {}, "long_context": {"variants": ["fp16"]}}}}


def suite(change=None, seeds=(42, 43, 44), name="long_context", variant="fp16"):
    """A table in which every cell of the goals is reached with 0.998, or with what `change` says."""
    change = change or {}
    rows = [
        dict(suite=name, task=task, task_version=1, model="reference", variant=variant, backend="reference")
        | dict(seed=seed, length=length, n=168 if length <= 8192 else 32, ci_low=0.0, ci_high=1.0)
        | dict(score=change.get((task, length), 0.998), chance=1 / 64, guess=0.05)
        for target in targets.TARGETS
        for task in target.tasks
        for length in target.goals
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def experiment(arms, seeds=(1, 2, 3), tasks=("a", "b"), n=168, **facts):
    rows = [
        dict(experiment="ablation", arm=arm, seed=seed, parameters=900_000, train_tokens=2_000_000)
        | dict(
            train_seconds=120.0, task=task, length=256, n=n, ci_low=0.0, ci_high=1.0, chance=0.0, guess=0.0
        )
        | dict(score=score if not isinstance(score, tuple) else score[i])
        | facts
        for arm, score in arms.items()
        for i, seed in enumerate(seeds)
        for task in tasks
    ]
    return pd.DataFrame(rows)


NO_EXPERIMENT = experiment({}).reindex(columns=["task", "length", "parameters"])


def verdicts(table, experiments=NO_EXPERIMENT, manifests=()):
    return {goal.goal: goal for goal in long_context.goals(scores(table), experiments, manifests)}


def target_goals(table):
    return list(verdicts(table).values())[: len(targets.TARGETS)]


def test_every_row_of_the_goals_is_judged_and_reached_here():
    found = target_goals(suite())
    assert len(found) == 6 and all(goal.met for goal in found)
    assert "niah_multi_key, reference/mkn at 1024 / 2048 / 4096 / 8192: at least 0.99" in found[1].goal


def test_the_worst_cell_is_printed_with_rows_and_pooled_interval():
    goal = target_goals(suite({("reference/adn", 8192): 0.5}))[2]
    low, high = wilson_interval(round(0.5 * 168) * 3, 504)
    assert goal.met is False
    assert f"0.500 [{low:.3f}, {high:.3f}], n = 504 (reference/adn at 8192)" in goal.measured


def test_worst_means_lowest_against_its_own_goal():
    change = {("reference/cn", 8192): 0.91, ("reference/cn", 512): 0.94}
    goal = target_goals(suite(change))[2]
    assert "reference/cn at 512" in goal.measured and goal.met is False


def test_fewer_rows_or_seeds_than_asked_for_are_said():
    far = target_goals(suite())[3]
    assert "fewer than 500 rows in 4 of 4 cells" in far.measured and far.met
    one = target_goals(suite(seeds=(42,)))[0]
    assert "fewer than 3 trained seeds" in one.measured and one.met is False


def test_absent_suite_is_not_measured_and_a_missing_cell_leaves_the_verdict_open():
    assert all(goal.met is None for goal in target_goals(suite(name="ruler_reference")))
    assert all(goal.met is None for goal in target_goals(suite(variant="int4")))
    table = suite()
    part = table[~((table["task"] == "ruler/vt") & (table["length"] == 4096))]
    goal = target_goals(part)[5]
    assert goal.met is None and "no cell for ruler/vt at 4096" in goal.measured
    assert target_goals(part.assign(score=0.1))[5].met is False  # what is missing cannot save it


def test_spread_over_seeds_is_judged_in_the_headline_cells():
    table = suite()
    mine = (table["task"] == "reference/niah_multi_key") & (table["length"] == 1024)
    name = next(key for key in verdicts(table) if key.startswith("Spread"))
    assert verdicts(table)[name].met is True
    table.loc[mine, "score"] = [0.90, 0.95, 1.0]
    assert verdicts(table)[name].met is False
    assert "0.050 (reference/niah_multi_key at 1024, 3 seeds)" in verdicts(table)[name].measured
    assert verdicts(table[table["seed"] == 42])[name].met is None


def test_cost_is_the_dearest_seed_in_core_minutes_with_speed_and_matmul_share():
    jobs = [
        {"stage": "pretrain", "model": "reference", "training_core_seconds": 60.0 * minutes}
        for minutes in (10, 13)
    ]
    jobs[0] |= {"matmul_share": 0.31, "tokens_per_second": 4000.0, "cpu_seconds": 840.0}
    jobs[1] |= {"cpu_seconds": 5.0}  # it resumed a job that was killed
    others = [
        {"stage": "pretrain", "model": "large", "training_core_seconds": 1e6},
        {"stage": "quantize", "cpu_seconds": 9},
    ]
    name = next(key for key in verdicts(suite()) if key.startswith("Pretraining"))
    found = verdicts(suite(), manifests=[*jobs, *others])[name]
    assert found.met is False
    assert found.measured == (
        "most 13.0, mean 11.5 (2 seeds), whole jobs 14.0 core-minutes, 4,000 tokens/s, 31% of the matmul peak"
    )
    assert verdicts(suite(), manifests=jobs[:1])[name].met is True
    assert verdicts(suite())[name].met is None


def test_recall_goal_takes_models_below_the_size_limit_only():
    task, length, _ = targets.MQAR
    small = experiment({"full": 0.995}, tasks=(task,), n=4000).assign(length=length)
    name = next(key for key in verdicts(suite()) if key.startswith(task))
    found = verdicts(suite(), small)[name]
    assert found.met and "900,000 parameters, 3 seeds" in found.measured and "n = 12000" in found.measured
    assert verdicts(suite(), small.assign(parameters=1_000_000))[name].met is None


def test_section_shows_interval_forerunner_goal_and_times_the_training_length():
    text = long_context.section(scores(suite({("reference/fa", 4096): 0.78})), 1024.0)
    head, row = (
        next(line for line in text.splitlines() if key in line) for key in ("| task", "| reference/fa")
    )
    assert "8192 (× 8)" in head and "| 1024 |" in head
    assert "0.780 [" in row and "✗" in row and "✓" in row
    single = next(line for line in text.splitlines() if "| reference/niah_single" in line)
    assert "(0.618) ✓" in single and "3 × 32–168" in single
    assert "Not measured" in long_context.section(scores(suite(name="ruler")), 1024.0)


def test_summary_keeps_a_suite_of_one_variant_out_of_the_comparison_of_variants(tmp_path):
    both = pd.concat(
        [suite(), suite({("reference/niah_single", 1024): 0.5}, name="ruler_reference")], ignore_index=True
    )
    write_summary({"benchmark": both}, CONFIG, tmp_path / "s.md", tmp_path)
    text = (tmp_path / "s.md").read_text()
    headline = text.split("### Headline")[1].split("\n### ")[0]
    assert headline.count("| fp16 | 1024 |") == 1 and "0.500" in headline
    assert "0.998" in text.split("### Long context")[1].split("\n### ")[0]


def test_arms_differ_only_when_intervals_and_seeds_both_stand_apart():
    table = experiment({"full": 0.95, "no_memory": 0.3, "no_ssmax": 0.94, "lucky": (0.95, 0.5, 0.5)})
    found = {comparison.arm: comparison for comparison in compare(pooled(table))}
    assert len(found["no_memory"].worse) == 2 and not found["no_memory"].better
    assert not found["no_ssmax"].worse and not found["no_ssmax"].better
    assert not found["lucky"].worse  # intervals are apart, but one seed reaches the full model


def test_a_component_that_does_not_help_is_said_so_in_report_and_summary(tmp_path):
    table = experiment({"full": 0.90, "no_memory": 0.3, "no_ssmax": 0.90, "no_bridge": 0.99, "chunk_32": 0.5})
    said = {comparison.arm: sentence(comparison) for comparison in compare(pooled(table))}
    assert said["no_memory"] == (
        "memory helps: a model trained without it is worse than full in 2 of 2 cells, "
        "most a at 256 by 60.0 points."
    )
    assert "ssmax **does not help**" in said["no_ssmax"] and "no different" in said["no_ssmax"]
    assert (
        "bridge **does not help**" in said["no_bridge"] and "better than full in 2 of 2" in said["no_bridge"]
    )
    assert said["chunk_32"].startswith("chunk_32: worse than full")
    assert len(unhelpful(table)) == 2
    assert all(line in section(table, level=1) for line in said.values())
    write_summary({"experiment": table}, CONFIG, tmp_path / "s.md", tmp_path)
    text = (tmp_path / "s.md").read_text()
    negative = text.split("### Negative results")[1].split("\n### ")[0]
    assert "Experiment ablation: ssmax **does not help**" in negative
    assert "## Experiment ablation" in text and "| no_memory | 900,000 | 2,000,000 | 2.0 | 0.300" in text


def test_cells_in_which_both_arms_only_guess_tell_nothing():
    table = experiment({"full": 0.02, "no_memory": 0.02}, chance=0.015, guess=0.015)
    (comparison,) = compare(pooled(table))
    assert comparison.cells == 0 and "no_memory cannot be judged" in sentence(comparison)
    assert unhelpful(table) == []


def test_the_full_model_comes_first():
    table = experiment({"no_memory": 0.3, "full": 0.9})
    lines = [line for line in section(table).splitlines() if line.startswith("| ")]
    assert lines[2].startswith("| full")


def test_an_experiment_of_one_arm_has_a_table_and_no_comparison():
    text = section(experiment({"full": 0.9}), level=1)
    assert text.startswith("# Experiment ablation") and "| full |" in text and "\n- " not in text


@pytest.mark.parametrize(("score", "expected"), [(0.0, "0.000"), (1.0, "1.000")])
def test_scores_at_the_ends_are_drawn(score, expected):
    assert expected in section(experiment({"full": score}))
