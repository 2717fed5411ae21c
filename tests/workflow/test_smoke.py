"""What the smoke workflow leaves behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from synapnet_edge.artifacts import read_table, read_tensors
from synapnet_edge.config_files import load_config
from synapnet_edge.results_tree import TABLES

pytestmark = pytest.mark.slow

COLUMNS = {
    "history": "step stage length loss accuracy learning_rate write_share tokens tokens_per_second seconds",
    "ledger": "component tensor parameters bits bytes",
    "benchmark": "suite task task_version model variant backend seed length n score ci_low ci_high chance "
    "guess",
    "paired": "suite model task length metric variant_a variant_b seeds n difference ci_low ci_high p_value "
    "p_holm test",
    "eviction": "task policy budget position length seed query_aware n accuracy ci_low ci_high retention "
    "accuracy_retained accuracy_evicted accuracy_full bytes",
    "eviction_paired": "task position length budget query_aware policy against difference p_value p_holm",
    "deploy": "tier model variant backend threads context metric value unit ci_low ci_high repeats method",
}


def tables(finished, kind):
    pattern = TABLES[kind]
    for name in ("model", "seed", "variant", "suite", "policy", "tier"):
        pattern = pattern.replace(f"{{{name}}}", "*")
    return sorted(finished.directory.glob(pattern))


def test_every_figure_is_written_in_both_formats(finished):
    files = [finished.checkout / "config" / name for name in ("reference.yaml", "smoke.yaml")]
    for name in load_config(files)["run"]["figures"]:
        assert (finished.directory / f"results/figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (finished.directory / f"results/figures/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_summary_is_written_with_its_tables(finished):
    assert "|" in (finished.directory / "results/summary.md").read_text(encoding="utf-8")
    assert sorted((finished.directory / "results/tables").glob("*.csv"))


@pytest.mark.parametrize("kind", COLUMNS)
def test_tables_have_the_columns_of_their_contract(finished, kind):
    found = tables(finished, kind)
    assert found
    for path in found:
        assert set(COLUMNS[kind].split()) <= set(read_table(path).columns), path


def test_every_artefact_has_a_manifest_that_says_how_it_came_about(finished):
    results = finished.directory / "results"
    stages = ("pretrain", "calibrate", "quantize", "eviction")
    models = [path for stage in stages for path in (results / stage).rglob("*.safetensors")]
    measured = [*tables(finished, "benchmark"), *tables(finished, "eviction"), *tables(finished, "deploy")]
    assert models and measured
    for path in [*models, *measured]:
        manifest = json.loads((path.parent / f"{path.name}.manifest.json").read_text(encoding="utf-8"))
        keys = {"stage", "config", "config_hash", "code_fingerprint", "packages", "machine", "wall_seconds"}
        assert keys <= set(manifest), path
        assert manifest["peak_rss_bytes"] > 0


def test_models_are_safetensors_and_nothing_is_a_pickle(finished):
    results = finished.directory / "results"
    files = [path for path in results.rglob("*") if path.is_file() and not path.name.startswith(".")]
    suffixes = {path.suffix for path in files}
    assert suffixes <= {".safetensors", ".csv", ".gz", ".json", ".pdf", ".png", ".md", ".tex", ".html"}
    for path in results.rglob("*.safetensors"):
        assert read_tensors(path)[0], path


def test_no_temporary_or_resumable_state_is_left(finished):
    hidden = (finished.directory / "results").rglob(".*")
    assert not [path for path in hidden if path.name != ".snakemake_timestamp"]
    assert not list((finished.directory / "results").rglob("*.partial.json"))


def test_ledger_adds_up_to_the_stored_payload(finished):
    for path in tables(finished, "ledger"):
        size = path.with_suffix(".safetensors").stat().st_size
        payload = int(read_table(path)["bytes"].sum())
        assert payload <= size <= payload + 64 * 1024, f"{path}: {payload} of {size} bytes"


def test_no_job_ran_beside_a_deployment_measurement(finished):
    jobs = []
    for path in (finished.directory / ".snakemake" / "metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            jobs.append((record["rule"], tuple(record["log"]), record["starttime"], record["endtime"]))
    measuring = {job for job in jobs if job[0] == "deploy"}
    assert measuring
    for _, log, start, end in measuring:
        beside = [job for job in jobs if job[1] != log and job[2] < end and job[3] > start]
        assert not beside


def test_report_is_one_html_file(finished):
    done = finished.call("--report", "results/report.html")
    assert done.returncode == 0, done.stderr
    text = (finished.directory / "results/report.html").read_text(encoding="utf-8")
    assert len(text) > 100_000
    # It opens offline: nothing is loaded from elsewhere.
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?https?:", text)
    for category in ("Benchmarks", "Memory", "Quantisation", "Deployment", "Summary", "Tables"):
        assert f'"{category}"' in text, category


def test_status_counts_every_finished_job(finished):
    done = subprocess.run(
        [sys.executable, "-m", "synapnet_edge", "status", "--directory", finished.directory, "--"]
        + ["--snakefile", str(finished.checkout / "Snakefile")]
        + ["--configfile", str(finished.checkout / "config" / "smoke.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Nothing is left." in done.stdout, done.stdout + done.stderr
    assert "| pretrain | 2 | 0 |" in done.stdout
