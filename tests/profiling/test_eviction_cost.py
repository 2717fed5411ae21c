"""Cost tables: every policy and size is there; budgets hold; no absolute time is asserted."""

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.memory import POLICIES
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.profiling.eviction_cost import COLUMNS, GROWTH_COLUMNS, cost_tables, round_times

POLICY_NAMES = [name for name in POLICIES.names() if name != "oracle"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=2, heads=2, chunk_len=16, episodic_slots=4, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


def test_every_policy_has_a_round_at_every_size():
    names = [*POLICY_NAMES, "baee+fp16"]
    table = round_times(names, [64, 128], dim=32, heads=2, repeats=3)
    assert list(table.columns) == COLUMNS and len(table) == 2 * len(names)
    assert (table["value"] > 0).all() and (table["ci_low"] <= table["value"]).all()
    tiers = table.groupby("policy")["tiers"].unique().str.join("")
    assert tiers["baee"] == "int8" and tiers["baee+fp16"] == tiers["fifo"] == "fp16"


def test_a_store_that_memory_cannot_hold_is_named_and_not_made(monkeypatch):
    class Little:
        available = 1000

    monkeypatch.setattr("psutil.virtual_memory", lambda: Little)
    table = round_times(["fifo"], [4096], dim=32, heads=2, repeats=3)
    assert table["value"].isna().all() and "not measured" in table["method"][0]


def test_streams_and_growth_are_measured_on_the_model(model):
    cfg = {
        "policies": ["baee", "h2o"], "entries": [64], "repeats": 2, "stream_tokens": 160, "stream_repeats": 2,
        "budget_share": 0.2, "growth_tokens": 320, "growth_budget_mb": 0.01, "readings": 8,
    }  # fmt: skip
    cost, growth = cost_tables(model, cfg)
    kinds = {"round", "eviction_per_token", "eviction_share", "stream_against_fifo"}
    assert set(cost["metric"]) == kinds and set(cost["policy"]) == {"baee", "h2o"}
    assert list(growth.columns) == GROWTH_COLUMNS
    whole = growth["policy"] == "everything kept"
    kept, bounded = growth[whole], growth[~whole]
    assert kept["bytes"].is_monotonic_increasing and kept["budget_bytes"].isna().all()
    assert (bounded["bytes"] <= bounded["budget_bytes"]).all()
    assert (bounded["resident_bytes"] <= bounded["budget_bytes"]).all()
    assert bounded["tokens"].iloc[-1] == 320


def test_the_oracle_has_no_time():
    with pytest.raises(ValueError, match="oracle"):
        round_times(["oracle"], [64], dim=32, heads=2, repeats=1)
