"""The command line finds its commands, says what is missing in one line and hides no defect."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from synapnet_edge.__main__ import main
from synapnet_edge.commands import COMMANDS, optional, validate

FOLDER = Path(optional.__file__).parent


def test_every_command_file_is_listed():
    files = {file.stem for file in FOLDER.glob("*.py")} - {"__init__", "optional"}
    assert files == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert name in capsys.readouterr().out


def test_help_loads_neither_torch_nor_matplotlib():
    code = (
        "import sys\nfrom synapnet_edge.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_every_optional_package_belongs_to_an_extra(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = {
        (Requirement(text).name.replace("-", "_"), extra)
        for extra, texts in project["optional-dependencies"].items()
        for text in texts
    }
    assert set(optional.EXTRAS.items()) <= extras


def test_a_missing_optional_package_is_one_line(monkeypatch, capsys):
    def run(options):
        raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime.capi")

    monkeypatch.setattr(validate, "run", run)
    assert main(["validate", "x.yaml"]) == 1
    assert capsys.readouterr().err == (
        "this needs onnxruntime, which is not installed: pip install 'synapnet-edge[onnx]'\n"
    )


def test_any_other_missing_module_is_a_defect(monkeypatch):
    def run(options):
        raise ModuleNotFoundError("No module named 'typo'", name="typo")

    monkeypatch.setattr(validate, "run", run)
    with pytest.raises(ModuleNotFoundError, match="typo"):
        main(["validate", "x.yaml"])


def test_a_missing_file_is_one_line(tmp_path, capsys):
    assert main(["validate", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err
