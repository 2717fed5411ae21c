"""Every command of the README works.

Those that start jobs are planned here (the smoke run of these tests is their real run); those that read
results run on the finished smoke run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
READERS = ("report", "publish", "status", "info", "stream")  # read what a run left


def commands() -> list[str]:
    """Lines of the shell blocks, and the first code of the second column of the table of commands."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)
    table = readme.split("## Everyday commands")[1].split("\n## ")[0]
    cells = re.findall(r"^\| [^|]+ \| `([^`]+)`", table, re.MULTILINE)
    return list(dict.fromkeys([line for block in blocks for line in block.splitlines() if line] + cells))


@pytest.fixture
def place(request, command, fresh):
    """The checkout and run a command is tried on: the finished run only where the command reads results."""
    words = command.split()
    reads = (words[0] == "make" and words[1] in READERS) or any(
        word.startswith("results/quantize") for word in words
    )
    return request.getfixturevalue("finished") if reads else fresh


def call(command, where) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=where, capture_output=True, text=True, check=False
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, f"{command}: {text[-3000:]}"
    return text


def make(place, tmp_path, words: list[str], arguments: str) -> str:
    """`make` with the interpreter of this test in place of .venv, whose making needs a package index."""
    stamp = tmp_path / "stamp"
    stamp.touch()
    given = {"BIN": Path(sys.executable).parent, "STAMP": stamp, "CORES": 1}
    arguments = [f"{name}={value}" for name, value in given.items()] + [f"ARGS={arguments}"]
    return call(["make", *words, *arguments], place.checkout)


@pytest.mark.parametrize("command", commands())
def test_command(command, place, tmp_path):
    program, *words = command.split()
    if command.startswith("git clone"):
        if not (ROOT / ".git").exists():
            pytest.skip("not a git checkout")
        call(["git", "clone", "-q", ROOT, tmp_path / "synapnet-edge"], tmp_path)
        assert (tmp_path / "synapnet-edge" / "Makefile").is_file()
    elif program == "pip":
        install = ["install", "--dry-run", "--no-deps", "--no-build-isolation", "-e", "."]
        call([sys.executable, "-m", "pip", *install], place.checkout)
    elif program == "conda":
        assert words[:3] == ["env", "create", "-f"]
        assert f"name: {words[-1]}\n" in (place.checkout / words[3]).read_text()
    elif program == "make":
        _make(place, tmp_path, words)
    elif program == "snakemake":
        _snakemake(place, words)
    else:
        assert (program, words[:2]) == ("python", ["-m", "synapnet_edge"]), f"no test for: {command}"
        _python(place, words)


def _make(place, tmp_path, words):
    here = f"--configfile config/smoke.yaml --directory {place.directory}"
    if words[0] == "test":
        text = make(place, tmp_path, ["-C", str(ROOT), "test"], "tests/test_registry.py -p no:cacheprovider")
        assert "100%" in text
    elif words[0] == "status":
        text = make(
            place, tmp_path, words, f"--directory {place.directory} -- --configfile config/smoke.yaml"
        )
        assert "| pretrain | " in text
    elif words[0] == "publish":
        target = tmp_path / "published"
        make(place, tmp_path, words, f"--results {place.directory / 'results'} --to {target}")
        assert (target / "manifest.json").is_file() and (target / "figures" / "headline.png").is_file()
    elif words[0] == "report":
        assert "Report created" in make(place, tmp_path, words, here)
    else:
        assert "This was a dry-run" in make(place, tmp_path, words, f"{here} --dry-run")


def _snakemake(place, words):
    if "--sdm" in words or "--workflow-profile" in words:
        return  # tests/workflow/test_elsewhere.py runs both
    if "my.yaml" in words:
        (place.checkout / "my.yaml").write_text("eviction: {budgets: [0.1]}\n")
        done = place.call(
            *words[: words.index("--configfile")], "--dry-run", configs=[place.checkout / "my.yaml"]
        )
    else:
        done = place.call(*words, "--dry-run")
    text = done.stdout + done.stderr
    if "longbench_real_all" in words:
        assert "key longbench_real.data_dir" in text, "says which data are missing"
        return
    assert done.returncode == 0, text[-3000:]
    assert "This was a dry-run" in text


def _python(place, words):
    results = any(word.startswith("results/") for word in words)
    if "validate" in words:
        (place.checkout / "my.yaml").write_text("eviction: {budgets: [0.1]}\n")
    text = call([sys.executable, *words], place.directory if results else place.checkout)
    expected = {
        "validate": "valid",
        "info": "whole model" if results else "policies: ",
        "stream": "4,096 tokens",
    }
    assert expected[words[2]] in text
