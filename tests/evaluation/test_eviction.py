"""The eviction grid: equal bytes, shared rows, what "held" means, and no look at later chunks."""

import numpy as np
import pandas as pd
import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.evaluation.eviction import COLUMNS, ROW_COLUMNS, run_policy
from synapnet_edge.evaluation.eviction_cells import QUERY_AWARE, EvictionGrid, eviction_rows, full_bytes
from synapnet_edge.evaluation.eviction_measures import (
    held_by_reader,
    oracle_precision,
    reading_layer,
    target_held,
)
from synapnet_edge.evaluation.eviction_stream import full_memory, stream_budgeted, stream_query_aware
from synapnet_edge.memory import POLICIES, EpisodicStore, ReadTrace
from synapnet_edge.memory.policies.snapkv import SnapKVPolicy
from synapnet_edge.memory.scoring import RetainingHead
from synapnet_edge.models import SynapNetEdge

TASK = "reference/memory_pressure_niah"
GRID = {
    "tasks": [TASK],
    "budgets": [0.2, 1.0],
    "positions": ["early", "late"],
    "lengths": [256],
    "samples": 4,
    "batch": 3,
    "query_aware": True,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=2, heads=2, chunk_len=32, episodic_slots=8, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


@pytest.fixture(scope="module")
def measured(model):
    torch.manual_seed(0)
    heads = torch.nn.ModuleList(RetainingHead(96, 8) for _ in range(2))
    return {n: run_policy(model, n, GRID, seed=5, heads=heads, progress=False) for n in POLICIES.names()}


@pytest.fixture(scope="module")
def tables(measured):
    """The query-agnostic cells."""
    return {name: cells[~cells["query_aware"]] for name, (cells, _) in measured.items()}


def test_tables_have_the_fixed_columns_and_every_cell(tables, measured):
    for name, table in tables.items():
        assert list(table.columns) == COLUMNS
        assert len(table) == 4 and set(table["policy"]) == {name} and set(table["n"]) == {4}
        assert ((table["ci_low"] <= table["accuracy"]) & (table["accuracy"] <= table["ci_high"])).all()
        assert table["precision"].between(0, 1).all()
        assert (table["retention_same_layer"] <= table["retention"]).all()
        cells, rows = measured[name]
        assert list(rows.columns) == ROW_COLUMNS and len(rows) == 4 * len(cells)
        mean = rows.groupby(["budget", "position", "query_aware"])["correct"].mean()
        assert mean.tolist() == pytest.approx(
            cells.set_index(["budget", "position", "query_aware"])["accuracy"].sort_index().tolist()
        )


def test_query_aware_cells_are_apart_and_only_of_policies_that_can_use_the_question(measured):
    for name, (cells, _) in measured.items():
        assert cells["query_aware"].sum() == (4 if name in QUERY_AWARE else 0)


def test_a_question_that_was_seen_takes_part_in_the_choice(model):
    """All queries of the question's chunk vote, without pooling: the oracle's choice, beside the window."""
    rows = eviction_rows(TASK, "early", 256, 5, 4)
    with torch.inference_mode():
        full = full_memory(model, rows, 2)
        precision = []
        for aware in (True, False):
            policy, budget = SnapKVPolicy(kernel=1), int(0.2 * full_bytes(model, 256))
            if aware:
                store = EpisodicStore(2, policy, entries_per_layer=100)
                (streamed,) = stream_query_aware(model, rows, store, [budget], 2)
            else:
                streamed = stream_budgeted(model, rows, EpisodicStore(2, policy, budget_bytes=budget), 2)
            precision.append(oracle_precision(streamed.positions, full.trace, 7, 12).mean())
    assert precision[0] > 0.65 and precision[1] < 0.5


def test_measured_bytes_keep_the_budget_and_tiers_hold_more_entries(measured, tables, model):
    for cells, _ in measured.values():
        assert (cells["bytes"] <= cells["budget"] * full_bytes(model, 256)).all()
        assert (cells["bytes_mean"] <= cells["bytes"]).all()
    tight = {name: table[table["budget"] == 0.2]["entries"].mean() for name, table in tables.items()}
    assert tight["baee"] > tight["fifo"] == tight["lru"] == tight["random"]
    assert tight["snapkv"] <= tight["fifo"]  # its vote is part of an entry's bytes
    assert tables["expected_attention"]["state_bytes"].min() > 0 == tables["fifo"]["state_bytes"].max()


def test_formats_behind_a_name_are_those_of_the_store(model, tables):
    grid = GRID | {"budgets": [0.2], "query_aware": False}
    held = {
        name: run_policy(model, name, grid, seed=5, progress=False)[0]
        for name in ("baee+fp16", "baee+fp16+int8", "fifo+int8")
    }
    entries = {name: cells["entries"].mean() for name, cells in held.items()}
    tight = {name: table[table["budget"] == 0.2]["entries"].mean() for name, table in tables.items()}
    assert set(held["baee+fp16"]["policy"]) == {"baee+fp16"}
    assert entries["baee+fp16"] == tight["fifo"] < entries["baee+fp16+int8"] <= tight["baee"]
    assert entries["fifo+int8"] > tight["fifo"]


def test_the_oracle_holds_what_an_oracle_would_keep(tables):
    tight = {name: table[table["budget"] == 0.2]["precision"].mean() for name, table in tables.items()}
    assert tight["oracle"] == max(tight.values()) and tight["oracle"] > 0.6 > tight["random"]


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
    cast, _ = run_policy(model, policy, GRID | {"query_aware": False}, seed=5, autocast=True, progress=False)
    assert cast["bytes"].tolist() == tables[policy]["bytes"].tolist()
    assert cast["accuracy"].between(0, 1).all()


def test_same_seed_gives_the_same_tables(model, measured):
    for again, first in zip(
        run_policy(model, "random", GRID, seed=5, progress=False), measured["random"], strict=True
    ):
        pd.testing.assert_frame_equal(again, first)


def test_the_reading_layer_is_the_one_that_reads_the_target_most():
    position = torch.tensor([[[10, 50]], [[11, 50]], [[40, 50]]])  # 3 layers, 1 row, 2 entries
    mass = torch.zeros(3, 3, 1, 2)
    mass[2, :, 0, 0] = torch.tensor([0.2, 0.7, 0.9])
    trace = ReadTrace(mass, position, torch.tensor([0, 1]))
    target = np.array([[10]])
    assert reading_layer(trace, target, 1, 2).tolist() == [1]  # layer 2 reads most, but not the target
    assert reading_layer(trace, target, 1, 1).tolist() == [-1]
    held = np.array([[True], [False], [True]])
    assert held_by_reader(held, np.array([1])).tolist() == [False]
    assert held_by_reader(held, np.array([0])).tolist() == [True]
    assert held_by_reader(held, np.array([-1])).tolist() == [False]


def test_precision_is_the_share_of_the_oracles_choice_that_is_held():
    position = torch.arange(6).expand(1, 1, 6)
    mass = torch.zeros(3, 1, 1, 6)
    mass[2, 0, 0] = torch.tensor([0.9, 0.0, 0.5, 0.0, 0.8, 9.0])  # the last is written in chunk 2 itself
    trace = ReadTrace(mass, position, torch.tensor([0, 0, 0, 1, 1, 2]))
    assert oracle_precision(torch.tensor([[[0, 3]]]), trace, 2, 2).tolist() == [0.5]
    assert oracle_precision(torch.tensor([[[4, 0, -1]]]), trace, 2, 2).tolist() == [1.0]
    assert oracle_precision(torch.tensor([[[-1, -1]]]), trace, 2, 3).tolist() == [0.0]


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


def test_tasks_that_cannot_place_their_target_have_one_place():
    grid = EvictionGrid.from_dict(GRID | {"tasks": ["pressure/early", "pressure/cued", TASK]})
    assert [(task, place) for task, place, _ in grid.cells()] == [
        ("pressure/early", "early"),
        ("pressure/cued", "anywhere"),
        (TASK, "early"),
        (TASK, "late"),
    ]


def test_mistakes_in_the_configuration_are_named(model):
    with pytest.raises(ValueError, match="unknown keys"):
        EvictionGrid.from_dict(GRID | {"sample": 3})
    with pytest.raises(ValueError, match="budgets"):
        EvictionGrid.from_dict(GRID | {"budgets": [1.5]})
    with pytest.raises(ValueError, match="positions"):
        EvictionGrid.from_dict(GRID | {"positions": ["middle"]})
    with pytest.raises(ValueError, match="no policy|unknown policy"):
        run_policy(model, "lifo", GRID, seed=0, progress=False)
