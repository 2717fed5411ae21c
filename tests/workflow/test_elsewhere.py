"""Jobs away from the process that plans them: in conda environments, and submitted to a scheduler."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow
FIGURE = "results/figures/training_curves.pdf"


@pytest.fixture
def conda(tmp_path, monkeypatch):
    """The stand-in for conda on the PATH; gives the calls made so far."""
    spec = importlib.util.spec_from_file_location("stub_conda", Path(__file__).with_name("stub_conda.py"))
    stub = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stub)
    variables, calls = stub.install(tmp_path / "conda")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return lambda: calls.read_text().splitlines()


def test_a_job_runs_in_the_environment_that_conda_makes(finished, conda, tmp_path):
    # In a copy: a run with environments leaves notes about them that make later runs without them start over.
    directory = shutil.copytree(finished.directory, tmp_path / "run")
    done = type(finished)(finished.checkout, directory).call(
        *(FIGURE, "--cores", "1", "--forcerun", "figure", "--software-deployment-method", "conda"),
        *("--conda-prefix", tmp_path / "environments"),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    made = [call for call in conda() if "create" in call]
    assert len(made) == 1, "only the environment that the job names"
    file = next((tmp_path / "environments").glob("*.yaml"))
    assert yaml.safe_load(file.read_text())["name"] == "synapnet-edge"


def test_the_baselines_have_an_environment_of_their_own(fresh, conda, tmp_path):
    done = fresh.call(
        *("baselines_all", "--cores", "1", "--conda-create-envs-only"),
        *("--software-deployment-method", "conda", "--conda-prefix", tmp_path / "environments"),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert len([call for call in conda() if "create" in call]) == 2
    made = [yaml.safe_load(file.read_text())["name"] for file in (tmp_path / "environments").glob("*.yaml")]
    assert sorted(made) == ["synapnet-edge", "synapnet-edge-baselines"]


def test_a_submitted_job_needs_nothing_of_the_process_that_plans(finished):
    picture = finished.directory / FIGURE
    before = picture.read_bytes()
    done = finished.call(
        *(FIGURE, "--jobs", "1", "--forcerun", "figure", "--executor", "cluster-generic"),
        *("--cluster-generic-submit-cmd", "bash"),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert picture.read_bytes() == before


def test_the_slurm_profile_gives_every_job_memory_minutes_and_threads(finished, tmp_path):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    profile = finished.checkout / "workflow" / "profiles" / "slurm"
    done = type(finished)(finished.checkout, tmp_path).call("--dry-run", "--workflow-profile", profile)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-3000:]
    # Jobs of a group stand indented below its head; target rules have no output.
    parts = re.split(r"\n *(?=(?:local)?rule \w+:)", text)[1:]
    blocks = [part for part in parts if re.search(r"^ +output: ", part, re.MULTILINE)]
    assert len(blocks) > 30
    for block in blocks:
        assert re.search(
            r"resources: .*mem_mb=\d+.*runtime=\d+|resources: .*runtime=\d+.*mem_mb=\d+", block
        ), block
    minutes = {block.split(":")[0].split()[1]: int(re.search(r"runtime=(\d+)", block)[1]) for block in blocks}
    settings = yaml.safe_load((profile / "config.yaml").read_text())
    assert minutes["pretrain"] == settings["set-resources"]["pretrain"]["runtime"]
    assert minutes["quantize"] == settings["default-resources"]["runtime"]


def test_the_slurm_profile_names_rules_that_exist(repository):
    rules = {
        name
        for file in (repository / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)
    }
    settings = yaml.safe_load((repository / "workflow" / "profiles" / "slurm" / "config.yaml").read_text())
    for block in ("set-resources", "set-threads", "groups"):
        assert set(settings[block]) <= rules, block
