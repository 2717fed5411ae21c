"""One real run of the smoke workflow, and dry runs on the checkout copy it used."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# Rules that only name what is wanted.
TARGETS = {
    *(
        "all",
        "deploy_all",
        "deploy_baselines",
        "ablations",
        "experiments_all",
        "stream_all",
        "longbench_real_all",
    ),
    *("quantization_all", "peers_all", "backends_all"),
    "baselines_all",
}
PARTS = (
    "Snakefile",
    "workflow",
    "config",
    "envs",
    "src",
    "Makefile",
    "README.md",
    "LICENSE",
    "pyproject.toml",
)
PARTS += ("requirements.lock",)


@dataclass(frozen=True)
class Workflow:
    """A copy of the checkout and a working directory for its results."""

    checkout: Path
    directory: Path

    def call(self, *arguments: str | Path, configs: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
        """Run Snakemake; targets come first, since some options swallow what follows them."""
        configfiles = [self.checkout / "config" / "smoke.yaml", *configs]
        command = [
            *(sys.executable, "-m", "snakemake", *arguments, "--snakefile", self.checkout / "Snakefile"),
            *("--directory", self.directory, "--configfile", *configfiles),
        ]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=False, env=environment
        )

    def planned(self, *targets: str, configs: Sequence[Path] = ()) -> list[tuple[str, dict[str, str]]]:
        """(rule, wildcards) of every job a dry run would start, target rules left out."""
        done = self.call(*targets, "--dry-run", "--cores", "4", configs=configs)
        assert done.returncode == 0, done.stdout + done.stderr
        jobs: list[tuple[str, dict[str, str]]] = []
        for line in (done.stdout + done.stderr).splitlines():
            if rule := re.fullmatch(r"(?:local)?rule (\w+):", line.strip()):
                jobs.append((rule[1], {}))
            elif jobs and line.strip().startswith("wildcards: "):
                pairs = line.strip().removeprefix("wildcards: ").split(", ")
                jobs[-1][1].update(pair.split("=", 1) for pair in pairs)
        return [job for job in jobs if job[0] not in TARGETS]

    def rules(self, *targets: str, configs: Sequence[Path] = ()) -> set[str]:
        """Names of the rules a dry run would start."""
        return {rule for rule, _ in self.planned(*targets, configs=configs)}

    @contextlib.contextmanager
    def edited(self, path: str, addition: str = "\n# an edit\n") -> Iterator[None]:
        """The checkout with `addition` at the end of one of its files."""
        file = self.checkout / path
        before = file.read_bytes()
        file.write_bytes(before + addition.encode())
        try:
            yield
        finally:
            file.write_bytes(before)


def copy_checkout(repository: Path, folder: Path) -> Workflow:
    """Copy what a run needs; edits of tests then never touch the real checkout."""
    checkout = folder / "checkout"
    for part in PARTS:
        source = repository / part
        if source.is_dir():
            shutil.copytree(
                source, checkout / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            checkout.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, checkout / part)
    directory = folder / "run"
    directory.mkdir()
    return Workflow(checkout, directory)


@pytest.fixture(scope="session")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The smoke workflow, run from an empty folder to the end."""
    workflow = copy_checkout(repository, tmp_path_factory.mktemp("smoke"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    done = workflow.call("--cores", str(min(cores, 4)))
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return workflow


@pytest.fixture(scope="session")
def fresh(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy of the checkout in which nothing was run."""
    return copy_checkout(repository, tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def empty(finished: Workflow, tmp_path: Path) -> Workflow:
    """The same checkout with no results yet."""
    return Workflow(finished.checkout, tmp_path)
