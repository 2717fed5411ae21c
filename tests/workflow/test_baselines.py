"""The target `baselines_all`: nothing of it in the default run, and only what its configuration names."""

from __future__ import annotations

import yaml

RULES = {"sweep", "train", "quantize", "benchmark", "kv", "cost", "report"}


def names(jobs):
    return {rule.removeprefix("baseline_") for rule in jobs if rule.startswith("baseline_")}


def test_the_default_run_has_what_the_configuration_names_and_the_target_all(fresh, tmp_path):
    assert not names(fresh.rules()), "the smoke configuration names none"
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({"run": {"baselines": ["llama", "mamba2"]}}))
    planned = fresh.planned(configs=[path])
    assert names(rule for rule, _ in planned) == {"sweep", "train", "quantize", "benchmark"}
    trained = {(w["contender"], w["seed"]) for rule, w in planned if rule == "baseline_train"}
    assert trained == {("llama", "42"), ("mamba2", "42")}
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
    path.write_text(yaml.safe_dump({"run": {"baselines": ["llama"]}, "baselines": {"models": ["mamba2"]}}))
    done = fresh.call("--cores", "1", configs=[path])
    assert "key run.baselines.0: found llama, expected one of baselines.models" in done.stdout + done.stderr
