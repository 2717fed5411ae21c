"""The eviction grid: equal bytes, shared rows, what "held" means, and no look at later chunks."""

import numpy as np
import pandas as pd
import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.evaluation.eviction import COLUMNS, EvictionGrid, full_bytes, run_policy, target_held
from synapnet_edge.memory import POLICIES, EpisodicStore
from synapnet_edge.models import SynapNetEdge

TASK = "reference/memory_pressure_niah"
GRID = {
    "task": TASK,
    "budgets": [0.2, 1.0],
    "positions": ["early", "late"],
    "lengths": [256],
    "samples": 6,
    "batch": 4,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=2, heads=2, chunk_len=32, episodic_slots=8, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


@pytest.fixture(scope="module")
def tables(model):
    return {
        name: run_policy(model, name, GRID, seed=5, progress=False)
        for name in POLICIES.names()
        if name != "locret"
    }


def test_tables_have_the_fixed_columns_and_every_cell(tables):
    for name, table in tables.items():
        assert list(table.columns) == COLUMNS
        assert len(table) == 4 and set(table["policy"]) == {name} and set(table["n"]) == {6}
        assert not table["query_aware"].any()
        assert ((table["ci_low"] <= table["accuracy"]) & (table["accuracy"] <= table["ci_high"])).all()


def test_measured_bytes_keep_the_budget_and_tiers_hold_more_entries(tables, model):
    for table in tables.values():
        assert (table["bytes"] <= table["budget"] * full_bytes(model, 256)).all()
    tight = {name: table[table["budget"] == 0.2]["entries"].mean() for name, table in tables.items()}
    assert tight["baee"] > tight["fifo"] == tight["lru"] == tight["random"]


def test_the_pass_without_eviction_is_the_same_for_every_policy(tables):
    full = pd.concat(tables.values()).groupby(["position", "length"])["accuracy_full"].nunique()
    assert (full == 1).all()


def test_full_budget_evicts_nothing(tables):
    for name in ("fifo", "oracle", "random"):
        table = tables[name]
        whole = table[table["budget"] == 1.0]
        assert (whole["accuracy"] == whole["accuracy_full"]).all()


def test_fifo_at_a_tight_budget_loses_early_targets(tables):
    table = tables["fifo"].set_index(["position", "budget"])
    assert table.loc[("early", 0.2), "retention"] == 0.0
    assert np.isnan(table.loc[("early", 0.2), "accuracy_retained"])
    assert table.loc[("late", 0.2), "retention"] > 0.0


@pytest.mark.parametrize("policy", ["baee", "oracle"])
def test_bfloat16_autocast_reaches_the_model_and_leaves_the_store_exact(model, tables, policy):
    cast = run_policy(model, policy, GRID, seed=5, autocast=True, progress=False)
    assert (cast["bytes"] == tables[policy]["bytes"]).all()
    assert cast["accuracy"].between(0, 1).all()


def test_same_seed_gives_the_same_table(model, tables):
    again = run_policy(model, "random", GRID, seed=5, progress=False)
    pd.testing.assert_frame_equal(again, tables["random"])


def test_target_is_held_by_its_tokens_or_the_one_behind_or_the_open_chunk():
    held = torch.tensor([[[10, 50, -1]], [[9, 12, 13]]])  # 2 layers, 1 row
    assert target_held(held, np.array([[10]]), 2, 100)[:, 0].tolist() == [True, True]
    assert target_held(held, np.array([[11]]), 1, 100)[:, 0].tolist() == [False, True]
    assert target_held(held, np.array([[14, 51]]), 2, 100)[:, 0].tolist() == [False, False]
    assert target_held(held, np.array([[14, 100]]), 2, 100)[:, 0].tolist() == [True, True]
    assert target_held(held, np.array([[-1, 13]]), 1, 100)[:, 0].tolist() == [False, True]


@pytest.mark.parametrize("policy", ["lru", "baee"])
def test_eviction_does_not_see_later_chunks(model, policy):
    ids = torch.randint(5, 4096, (2, 256), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[:, 192:] = torch.randint(5, 4096, (2, 64), generator=torch.Generator().manual_seed(1))
    held = []
    for row in (ids, other):
        store = EpisodicStore(2, policy, entries_per_layer=6)
        with torch.inference_mode():
            model.step(row[:, :192], model.init_state(2, store=store))
        held.append(store.held_positions())
    assert torch.equal(*held)


def test_mistakes_in_the_configuration_are_named(model):
    with pytest.raises(ValueError, match="unknown keys"):
        EvictionGrid.from_dict(GRID | {"sample": 3})
    with pytest.raises(ValueError, match="budgets"):
        EvictionGrid.from_dict(GRID | {"budgets": [1.5]})
    with pytest.raises(ValueError, match="cannot place"):
        run_policy(model, "fifo", GRID | {"task": "reference/niah_single"}, seed=0, progress=False)
    with pytest.raises(ValueError, match="no policy|unknown policy"):
        run_policy(model, "lifo", GRID, seed=0, progress=False)
