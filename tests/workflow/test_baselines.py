"""The target `baselines_all`: nothing of it in the default run, and only what its configuration names."""

from __future__ import annotations

import yaml

RULES = {"sweep", "train", "quantize", "benchmark", "kv", "cost", "report"}


def names(jobs):
    return {rule.removeprefix("baseline_") for rule in jobs if rule.startswith("baseline_")}


def test_the_default_run_trains_no_baseline_and_the_target_all(fresh):
    assert not names(fresh.rules())
    planned = fresh.planned("baselines_all")
    assert names(rule for rule, _ in planned) == RULES
    swept = {wildcards["contender"] for rule, wildcards in planned if rule == "baseline_sweep"}
    trained = {wildcards["contender"] for rule, wildcards in planned if rule == "baseline_train"}
    assert swept == {"llama", "mamba2", "falcon_h1", "hymba"}
    assert trained == swept | {"em_llm"}, "made of the trained llama, so nothing to sweep"
    figures = {wildcards["name"] for rule, wildcards in planned if rule == "figure"}
    assert figures == {"baselines_accuracy", "baselines_bytes", "baselines_pareto", "baselines_kv"}


def test_a_reduced_set_can_belong_to_every_run(fresh, tmp_path):
    path = tmp_path / "my.yaml"
    block = {"models": ["mamba2"], "seeds": [42]}
    path.write_text(yaml.safe_dump({"run": {"extras": ["baselines"]}, "baselines": block}))
    planned = fresh.planned(configs=[path])
    assert {w["contender"] for rule, w in planned if rule == "baseline_train"} == {"mamba2"}
    assert {w["seed"] for rule, w in planned if rule == "baseline_train"} == {"42"}
    assert "kv" not in names(rule for rule, _ in planned), "policies need the llama's cache"


def test_wrong_names_stop_before_any_job(fresh, tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({"baselines": {"models": ["lama"]}}))
    done = fresh.call("baselines_all", "--cores", "1", configs=[path])
    assert "key baselines.models.0: found 'lama'" in done.stdout + done.stderr
    assert "did you mean llama?" in done.stdout + done.stderr
