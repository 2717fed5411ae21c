"""What a change re-runs: dry runs of the real workflow over finished results."""

from __future__ import annotations

import pytest
import yaml

pytestmark = pytest.mark.slow

MODEL_RULES = {"pretrain", "calibrate", "quantize", "benchmark", "retention", "eviction_grid", "deploy"}
OUTPUT_RULES = {"figure", "report"}
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
    assert len(jobs) == 5


def test_changing_one_budget_reruns_the_grid_and_what_is_drawn_from_it(finished, overlay):
    jobs = finished.planned(configs=overlay({"eviction": {"budgets": [0.1, 0.6]}}))
    assert {rule for rule, _ in jobs} == {"eviction_grid", "figure", "report"}
    assert names(jobs, "figure", "name") == {"eviction_grid"}


def test_adding_a_policy_runs_its_cells_only(finished, overlay):
    jobs = finished.planned(configs=overlay({"eviction": {"policies": ["baee", "fifo", "oracle", "lru"]}}))
    assert names(jobs, "eviction_grid", "policy") == {"lru"}
    assert {rule for rule, _ in jobs} == {"eviction_grid", "figure", "report"}


def test_changing_the_learning_rate_reruns_everything_from_pretraining(finished, overlay):
    rules = finished.rules(configs=overlay({"pretrain": {"learning_rate": 1.0e-3}}))
    assert rules == MODEL_RULES | OUTPUT_RULES


def test_changing_the_finetuning_reruns_only_variants_that_train(finished, overlay):
    jobs = finished.planned(configs=overlay({"quantize": {"finetune": {"learning_rate": 1.0e-4}}}))
    assert names(jobs, "quantize", "variant") == {"fp16_ft", "cajq_qat"}
    assert not {"pretrain", "calibrate", "retention", "eviction_grid"} & {rule for rule, _ in jobs}


def test_changing_the_rows_of_one_suite_rescores_that_suite_only(finished, overlay):
    jobs = finished.planned(configs=overlay({"benchmark": {"suites": {"ruler": {"samples": 5}}}}))
    assert names(jobs, "benchmark", "suite") == {"ruler"}
    assert {rule for rule, _ in jobs} == {"benchmark", "figure", "report"}


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
        ("training/retention.py", {"retention"}, MODEL_RULES - {"retention", "eviction_grid"}),
        ("evaluation/eviction.py", {"eviction_grid"}, MODEL_RULES - {"eviction_grid"}),
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
    assert {rule for rule, _ in jobs} == {"eviction_grid", "figure", "report"}


@pytest.mark.parametrize(
    "file",
    ["catalogue.py", "__main__.py", "config_files.py", "tasks/catalog.py", "tasks/reference/ordered.py"],
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
