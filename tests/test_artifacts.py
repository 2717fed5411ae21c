"""Files are whole or absent, carry their origin, and nothing in them can run."""

import json
import time

import pandas as pd
import pytest
import torch

from synapnet_edge import artifacts


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "table.csv"
    artifacts.write_text(path, "old")
    with pytest.raises(RuntimeError), artifacts.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_written_files_are_readable_by_others_as_the_umask_says(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    artifacts.write_text(tmp_path / "atomic", "x")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


def test_tensors_and_metadata_survive_exactly(tmp_path):
    tensors = {
        "half": torch.randn(3, 5).half(),
        "codes": torch.arange(7, dtype=torch.uint8),
        "transposed": torch.randn(4, 6).T,
        "scalar": torch.tensor(3),
    }
    metadata = {"config": {"dim": 192}, "note": "ü", "list": [1, None, True]}
    artifacts.write_tensors(tmp_path / "a.safetensors", tensors, metadata)
    read, found = artifacts.read_tensors(tmp_path / "a.safetensors")
    assert found == metadata
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name], tensor)


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(artifacts.ArtifactError, match=r"gone\.safetensors: no such file"):
        artifacts.read_tensors(tmp_path / "gone.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x80\x04 not a tensor file")
    with pytest.raises(artifacts.ArtifactError, match=r"damaged\.safetensors: not a readable"):
        artifacts.read_tensors(damaged)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(artifacts.ArtifactError, match=r"broken\.json: not valid JSON"):
        artifacts.read_json(tmp_path / "broken.json")


def test_tables_survive(tmp_path):
    table = pd.DataFrame({"variant": ["fp16", "int4"], "score": [0.1 + 0.2, 1.0]})
    artifacts.write_table(tmp_path / "t.csv", table)
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "t.csv"), table, check_exact=True)


def test_the_fingerprint_follows_the_named_source_only():
    whole = artifacts.code_fingerprint("models")
    assert whole == artifacts.code_fingerprint("models", "models")
    assert whole != artifacts.code_fingerprint("models.ssm")
    with pytest.raises(ValueError, match="no module or subpackage 'models.nothing'"):
        artifacts.code_fingerprint("models.nothing")


def test_a_manifest_says_what_made_the_artefact(tmp_path):
    config = {"steps": 3}
    path = artifacts.write_manifest(
        tmp_path / "m.csv", stage="s", config=config, code="abc", started=time.time() - 2, extra={"tokens": 9}
    )
    manifest = json.loads(path.read_text())
    assert path.name == "m.csv.manifest.json"
    assert (
        manifest["config_hash"] == artifacts.config_hash({"steps": 3}) != artifacts.config_hash({"steps": 4})
    )
    assert manifest["wall_seconds"] >= 2 and manifest["tokens"] == 9 and manifest["peak_rss_bytes"] > 0
    assert manifest["packages"]["torch"] == torch.__version__
    assert str(tmp_path) not in path.read_text()
