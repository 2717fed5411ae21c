"""What a change re-runs: dry runs of the real workflow over finished results."""

from __future__ import annotations

import pytest
import yaml

from synapnet_edge.config_files import load_config

pytestmark = pytest.mark.slow

EVICTION_RULES = {"eviction_grid", "eviction_paired"}
MODEL_RULES = {
    *("pretrain", "calibrate", "sensitivity", "quantize", "benchmark", "retention", "deploy"),
    *EVICTION_RULES,
}
OUTPUT_RULES = {"paired", "figure", "report"}
SOURCE = "src/synapnet_edge"


@pytest.fixture
def overlay(tmp_path):
    """Write a configuration with only the changed keys."""

    def write(content: dict):
        path = tmp_path / "my.yaml"
        path.write_text(yaml.safe_dump(content))
        return [path]

    return write


def names(jobs, rule, wildcard):
    return {wildcards[wildcard] for found, wildcards in jobs if found == rule}


def figures(workflow):
    files = [workflow.checkout / "config" / name for name in ("reference.yaml", "smoke.yaml")]
    return set(load_config(files)["run"]["figures"])


def experiment(workflow, name):
    files = [workflow.checkout / "config" / name for name in ("reference.yaml", "smoke.yaml")]
    return load_config(files)["experiments"][name]


def test_second_run_has_nothing_to_do(finished):
    done = finished.call("--cores", "4")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_editing_one_plotting_file_redraws_that_figure_only(finished):
    with finished.edited(f"{SOURCE}/plotting/size_ledger.py"):
        assert finished.planned() == [("figure", {"name": "size_ledger"})]


def test_touching_a_file_without_an_edit_does_nothing(finished):
    (finished.checkout / SOURCE / "plotting" / "size_ledger.py").touch()
    assert finished.planned() == []


def test_editing_the_common_style_redraws_all_figures_and_measures_nothing(finished):
    with finished.edited(f"{SOURCE}/plotting/style.py"):
        jobs = finished.planned()
    assert {rule for rule, _ in jobs} == {"figure"}
    assert names(jobs, "figure", "name") == figures(finished)


def test_changing_one_budget_reruns_the_grid_and_what_is_drawn_from_it(finished, overlay):
    jobs = finished.planned(configs=overlay({"eviction": {"budgets": [0.1, 0.6]}}))
    assert {rule for rule, _ in jobs} == EVICTION_RULES | {"figure", "report"}
    assert names(jobs, "figure", "name") == {"eviction_grid", "headline"}


def test_adding_a_policy_runs_its_cells_only(finished, overlay):
    jobs = finished.planned(configs=overlay({"eviction": {"policies": ["baee", "fifo", "oracle", "lru"]}}))
    assert names(jobs, "eviction_grid", "policy") == {"lru"}
    assert {rule for rule, _ in jobs} == EVICTION_RULES | {"figure", "report"}


def test_another_classifier_reruns_the_cells_of_the_policy_that_ranks_by_it(finished, overlay):
    jobs = finished.planned(configs=overlay({"retention": {"epochs": 1}}))
    assert names(jobs, "eviction_grid", "policy") == {"baee"}
    assert {rule for rule, _ in jobs} == EVICTION_RULES | {"retention", "figure", "report"}


def test_changing_the_learning_rate_reruns_everything_from_pretraining(finished, overlay):
    rules = finished.rules(configs=overlay({"pretrain": {"learning_rate": 1.0e-3}}))
    assert rules == MODEL_RULES | OUTPUT_RULES


def test_changing_the_finetuning_reruns_only_variants_that_train(finished, overlay):
    jobs = finished.planned(configs=overlay({"quantize": {"finetune": {"learning_rate": 1.0e-4}}}))
    assert names(jobs, "quantize", "variant") == {"fp16_ft", "cajq_qat", "cajq_full"}
    assert not {"pretrain", "calibrate", "retention", "eviction_grid"} & {rule for rule, _ in jobs}


def test_changing_the_rows_of_one_suite_rescores_that_suite_only(finished, overlay):
    cells = [{"tasks": ["reference/fa"], "lengths": [128], "samples": 5}]
    jobs = finished.planned(configs=overlay({"benchmark": {"suites": {"ruler_reference": {"cells": cells}}}}))
    assert names(jobs, "benchmark", "suite") == {"ruler_reference"}
    assert {rule for rule, _ in jobs} == {"benchmark"} | OUTPUT_RULES


def test_a_further_variant_of_one_suite_scores_that_variant_only(finished, overlay):
    suites = {"long_context": {"variants": ["fp16", "int4"]}}
    jobs = finished.planned(configs=overlay({"benchmark": {"suites": suites}}))
    scored = [wildcards for rule, wildcards in jobs if rule == "benchmark"]
    assert [(job["suite"], job["variant"]) for job in scored] == [("long_context", "int4")] * len(scored)
    assert {rule for rule, _ in jobs} == {"benchmark"} | OUTPUT_RULES
    assert names(jobs, "figure", "name") == {"long_context", "headline"}


def test_a_suite_that_drops_variants_measures_nothing_again(finished, overlay):
    suites = {"ruler_reference": {"variants": ["fp16"]}}
    jobs = finished.planned(configs=overlay({"benchmark": {"suites": suites}}))
    assert {rule for rule, _ in jobs} <= OUTPUT_RULES


def test_comparing_with_other_variants_scores_nothing_again(finished, overlay):
    jobs = finished.planned(configs=overlay({"paired": {"against": ["int4"]}}))
    assert {rule for rule, _ in jobs} == {"paired", "report"}


def test_adding_a_seed_trains_that_seed_only(finished, overlay):
    jobs = finished.planned(configs=overlay({"seeds": [42, 43, 44]}))
    assert names(jobs, "pretrain", "seed") == {"44"}
    assert "deploy" not in {rule for rule, _ in jobs}


@pytest.mark.parametrize(
    ("file", "first", "untouched"),
    [
        ("models/ssm.py", {"pretrain"}, set()),
        ("tasks/reference/single.py", {"pretrain"}, set()),
        ("training/qat.py", {"quantize"}, {"pretrain", "calibrate"}),
        ("quantization/uniform.py", {"calibrate", "quantize"}, {"pretrain"}),
        ("evaluation/runner.py", {"benchmark"}, MODEL_RULES - {"benchmark"}),
        ("training/retention.py", {"retention"}, MODEL_RULES - {"retention"} - EVICTION_RULES),
        ("evaluation/eviction.py", {"eviction_grid"}, MODEL_RULES - EVICTION_RULES),
        ("profiling/timing.py", {"deploy"}, MODEL_RULES - {"deploy"}),
        ("reporting/summary.py", {"report"}, MODEL_RULES | {"figure"}),
    ],
)
def test_editing_library_code_reruns_the_stages_that_use_it(finished, file, first, untouched):
    with finished.edited(f"{SOURCE}/{file}"):
        rules = finished.rules()
    assert first <= rules
    assert not untouched & rules


def test_editing_one_policy_reruns_its_cells_only(finished):
    with finished.edited(f"{SOURCE}/memory/policies/fifo.py"):
        jobs = finished.planned()
    assert names(jobs, "eviction_grid", "policy") == {"fifo"}
    assert {rule for rule, _ in jobs} == EVICTION_RULES | {"figure", "report"}


@pytest.mark.parametrize(
    "file",
    [
        "catalogue.py",
        "__main__.py",
        "config_files.py",
        "config_names.py",
        "config_relations.py",
        "tasks/catalog.py",
        "tasks/dense.py",
    ],
)
def test_editing_code_no_job_runs_does_nothing(finished, file):
    with finished.edited(f"{SOURCE}/{file}"):
        assert finished.planned() == []


def test_one_figure_needs_only_its_sources(empty):
    jobs = empty.planned("results/figures/training_curves.pdf")
    assert {rule for rule, _ in jobs} == {"pretrain", "figure"}
    assert names(jobs, "figure", "name") == {"training_curves"}


def test_from_an_empty_folder_every_stage_runs(empty):
    assert empty.rules() == MODEL_RULES | OUTPUT_RULES


def test_the_long_figure_needs_its_own_suite_and_variant_only(empty):
    jobs = empty.planned("results/figures/long_context.pdf")
    assert names(jobs, "benchmark", "suite") == {"long_context"}
    assert names(jobs, "benchmark", "variant") == names(jobs, "quantize", "variant") == {"fp16"}


def test_the_comparison_of_variants_does_not_wait_for_the_long_suite(empty):
    jobs = empty.planned("results/figures/accuracy_vs_length.pdf")
    assert names(jobs, "benchmark", "suite") == {"ruler_reference"}


def test_long_suites_and_what_they_wait_for_go_first(empty, overlay):
    cells = [{"tasks": ["reference/fa"], "lengths": [512], "samples": 10000}]
    configs = overlay({"benchmark": {"suites": {"long_context": {"cells": cells}}}})
    done = empty.call("--dry-run", "--cores", "4", configs=configs)
    blocks = (done.stdout + done.stderr).split("\nrule ")
    first = {block.split(":")[0] for block in blocks if "priority: 5\n" in block}
    assert first == {"quantize", "benchmark"}
    assert all("variant=fp16\n" in block for block in blocks if "priority: 5\n" in block)


def test_experiments_are_built_on_request_only(empty):
    assert not {"experiment_train", "experiment", "experiment_report"} & empty.rules()


def test_ablations_train_every_arm_but_those_that_take_trained_weights(empty):
    block = experiment(empty, "ablation")
    jobs = empty.planned("ablations")
    trained = [wildcards["arm"] for rule, wildcards in jobs if rule == "experiment_train"]
    scored = [wildcards["arm"] for rule, wildcards in jobs if rule == "experiment"]
    assert sorted(scored) == sorted(list(block["arms"]) * len(block["seeds"]))
    assert set(scored) - set(trained) == {"bridge_removed"}
    others = {rule for rule, _ in jobs} - {"experiment_train", "experiment"}
    assert others == {"experiment_report", "figure"}


def test_all_experiments_have_a_target(empty):
    jobs = empty.planned("experiments_all")
    assert names(jobs, "experiment_report", "experiment") == {"ablation", "mqar64"}


def test_an_arm_that_takes_weights_needs_only_their_training(empty):
    jobs = empty.planned("results/experiment/ablation/bridge_removed/seed42.csv")
    assert [(rule, wildcards["arm"]) for rule, wildcards in jobs] == [
        ("experiment_train", "full"),
        ("experiment", "bridge_removed"),
    ]


def test_an_experiment_named_under_run_becomes_part_of_the_summary(finished, overlay):
    jobs = finished.planned(configs=overlay({"run": {"experiments": ["mqar64"]}}))
    assert {rule for rule, _ in jobs} == {"experiment_train", "experiment", "report"}
    assert names(jobs, "experiment", "experiment") == {"mqar64"}
