import os
import sys

import numpy as np
import pytest
import torch

from synapnet_edge.artifacts import ArtifactError, write_tensors
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.experiments.peers import COLUMNS, PEERS, Peer, compare_peers, refuse_stale_build
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.training.calibration import calibrate

CELLS = {"tasks": ["reference/niah_single"], "lengths": [64], "samples": 4, "test_seed": 1}


@pytest.fixture
def files(tmp_path, monkeypatch):
    for name in PEERS:  # as on a machine without them
        monkeypatch.setitem(sys.modules, PEERS.get(name).module, None)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=1, heads=2, episodic_slots=4, chunk_len=16, window=8, top_k=4, ff_hidden=64
    )
    torch.manual_seed(0)
    weights, stats = tmp_path / "model.safetensors", tmp_path / "stats.safetensors"
    write_tensors(weights, SynapNetEdge(cfg).state_dict(), {"config": cfg.to_dict()})
    calibrate(weights, {"n_samples": 2, "seq_len": 64}, 0, stats, progress=False)
    return weights, stats


@pytest.fixture
def table(files):
    return compare_peers(*files, CELLS, 0, progress=False)


def test_missing_packages_are_named_and_have_no_score(table):
    assert list(table) == COLUMNS
    absent = table[table["package"] != "synapnet-edge"]
    assert set(absent["arm"]) == set(PEERS.names()) and absent["score"].isna().all()
    assert absent["status"].str.startswith("not installed: ").all()


def test_our_arms_quantise_the_same_linears_at_their_bytes(table):
    ours = table[table["package"] == "synapnet-edge"].set_index("arm")
    assert list(ours.index) == ["fp16", "int8", "rtn_int4g32", "awq_int4g32"]
    assert ours["linears"].nunique() == 1 and ours.loc["fp16", "bits"] == 16
    assert ours.loc["rtn_int4g32", "bytes"] == ours.loc["awq_int4g32", "bytes"] < ours.loc["fp16", "bytes"]
    assert 4 < ours.loc["awq_int4g32", "bits"] < 5 and ours["score"].notna().all()


def test_a_lock_of_a_killed_build_is_named_and_a_fresh_one_is_waited_for(tmp_path):
    lock = tmp_path / "library" / "extensions" / "cpp" / "build" / "lock"
    lock.parent.mkdir(parents=True)
    refuse_stale_build(tmp_path)
    lock.touch()
    refuse_stale_build(tmp_path)
    os.utime(lock, (0, 0))
    with pytest.raises(ArtifactError, match="build/lock: left by a build"):
        refuse_stale_build(tmp_path)


def test_a_package_that_fails_has_a_line_that_says_why(files, monkeypatch):
    def broken(model, names):
        raise RuntimeError("no such instruction\nand more")

    monkeypatch.setitem(PEERS._items, "broken", Peer("numpy", "numpy", broken))
    table = compare_peers(*files, CELLS, 0, progress=False)
    line = table[table["arm"] == "broken"].iloc[0]
    assert line["status"] == "failed: RuntimeError: no such instruction" and np.isnan(line["score"])
    assert "ok" in set(table["status"])
