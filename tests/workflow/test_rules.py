"""The rules themselves: style, environments, and refusal of a wrong configuration before any job."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
import yaml


def locked_versions(repository) -> dict[str, str]:
    lines = (repository / "requirements.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    return {name.lower().replace("_", "-"): version for name, version in pins.items()}


def run(repository, *command):
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


def test_workflow_linter_finds_nothing(fresh):
    done = fresh.call("--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflow_is_formatted(repository):
    done = run(repository, sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (
            {"pretrain": {"learning_rat": 0.1}},
            ["my.yaml", "pretrain.learning_rat", "did you mean learning_rate?"],
        ),
        (
            {"models": {"reference": {"heads": 5}}},
            ["my.yaml", "models.reference.heads", "found 5", "divisor of dim"],
        ),
        ({"eviction": {"policies": ["fif"]}}, ["my.yaml", "eviction.policies.0", "did you mean fifo?"]),
        (
            {"benchmark": {"suites": {"ruler": {"tasks": ["ruler/niah_multikey_9"]}}}},
            ["did you mean ruler/niah_"],
        ),
        ({"run": {"figures": ["size_leger"]}}, ["run.figures.0", "did you mean size_ledger?"]),
    ],
)
def test_wrong_configuration_stops_before_any_job(fresh, tmp_path, overlay, expected):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(overlay))
    done = fresh.call("--cores", "1", configs=[path])
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Nothing was started." in text and "Traceback" not in text
    assert not (fresh.directory / "results").exists()
    for part in expected:
        assert part in text


def test_value_on_the_command_line_is_checked(fresh):
    done = fresh.call("--cores", "1", "--config", "device=gpu")
    text = done.stdout + done.stderr
    assert "command line (--config): key device: found 'gpu', expected one of cpu, cuda, mps" in text


def test_every_rule_that_runs_has_log_environment_and_a_script_of_its_name(repository):
    for file in (repository / "workflow" / "rules").glob("*.smk"):
        for name, body in re.findall(
            r"^rule (\w+):\n(.*?)(?=^rule |\Z)", file.read_text(), re.MULTILINE | re.DOTALL
        ):
            for directive in ("log:", "conda:", "script:", "code="):
                assert directive in body, f"{file.name}: rule {name} lacks {directive}"
            assert f'"../scripts/{name}.py"' in body
            assert (repository / "workflow" / "scripts" / f"{name}.py").is_file()


@pytest.mark.parametrize(("device", "cards"), [("cuda", "1"), ("cpu", "0")])
def test_a_job_on_cuda_asks_for_a_card_and_no_other_does(fresh, repository, device, cards):
    computes = {
        name
        for file in (repository / "workflow" / "rules").glob("*.smk")
        for name, body in re.findall(
            r"^rule (\w+):\n(.*?)(?=^rule |\Z)", file.read_text(), re.MULTILINE | re.DOTALL
        )
        if 'device=config["device"]' in body
    }
    targets = ("all", "baselines_all", "stream_all", "quantization_all", "experiments_all")
    done = fresh.call(*targets, "--dry-run", "--cores", "4", "--config", f"device={device}")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-3000:]
    asked = {}
    for block in re.split(r"\n(?=(?:local)?rule \w+:)", text)[1:]:
        found = re.search(r"^    resources: .*\bgpu=(\d+)", block, re.MULTILINE)
        asked.setdefault(re.match(r"(?:local)?rule (\w+):", block)[1], set()).add(found and found[1])
    assert computes and computes <= set(asked)
    for rule, values in asked.items():
        assert values == ({cards} if rule in computes else {None}), rule


def test_scripts_stay_thin(repository):
    for file in (repository / "workflow" / "scripts").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 60, file.name


# Environment file -> the extras whose packages it holds beside the core; not those of developers, downloads,
# or packages of one platform.
ENVIRONMENTS = {"synapnet-edge": ("onnx", "baselines", "clusters"), "baselines": ("baselines",)}


def test_every_rule_has_an_environment_file_and_the_baselines_have_theirs(repository):
    files = {file.stem for file in (repository / "envs").glob("*.yaml")}
    assert files == set(ENVIRONMENTS)
    named = {}
    for file in (repository / "workflow" / "rules").glob("*.smk"):
        text = file.read_text()
        found = re.findall(
            r'^rule (\w+):.*?^    conda:\n        "../../envs/([\w-]+)\.yaml"', text, re.M | re.S
        )
        assert len(found) == len(re.findall(r"^rule ", text, re.MULTILINE)), file.name
        named |= dict(found)
    assert set(named.values()) == files
    own = {rule for rule, environment in named.items() if environment == "baselines"}
    assert own == {rule for rule in named if rule.startswith("baseline_")} | {"deploy_baseline"}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_conda_environment_agrees_with_the_lock_and_the_declared_dependencies(repository, name):
    from packaging.requirements import Requirement

    lock = locked_versions(repository)
    environment = yaml.safe_load((repository / "envs" / f"{name}.yaml").read_text())
    assert set(environment) == {"name", "channels", "dependencies"}
    assert environment["channels"][-1] == "nodefaults"
    entries = [
        re.fullmatch(r"([a-z0-9-]+) =([0-9.]+)", text).groups() for text in environment["dependencies"]
    ]
    pypi = {"pytorch": "torch", "matplotlib-base": "matplotlib", "snakemake-minimal": "snakemake"}
    listed = {pypi.get(name, name): version for name, version in entries}
    assert listed.pop("python") == "3.11"
    for package, version in listed.items():
        assert f"{lock[package]}.".startswith(f"{version}."), f"{package} ={version}, locked {lock[package]}"
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][extra] for extra in ENVIRONMENTS[name]]
    needed = [*project["dependencies"], *(text for extra in extras for text in extra)]
    assert {Requirement(text).name.lower() for text in needed} == set(listed)


def test_every_extra_of_the_rules_is_in_a_conda_environment(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    held = {extra for extras in ENVIRONMENTS.values() for extra in extras}
    assert held == set(project["optional-dependencies"]) - {"dev", "longbench", "mlx", "kvpress"}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_conda_specifications_parse(repository, name):
    rattler = pytest.importorskip(
        "rattler", reason="py-rattler parses the specifications; it is not installed"
    )
    environment = yaml.safe_load((repository / "envs" / f"{name}.yaml").read_text())
    for text in environment["dependencies"]:
        assert rattler.MatchSpec(text, strict=True).name.normalized == text.split()[0]


def test_lock_satisfies_the_declared_dependencies(repository):
    from packaging.requirements import Requirement

    lock = locked_versions(repository)
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(lock[requirement.name.lower()]), text
