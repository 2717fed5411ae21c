"""The results folder: paths say what tables lack."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.results_tree import path_columns, read_tables


def test_columns_come_from_the_path(tmp_path):
    path = tmp_path / "results/pretrain/reference/seed42/history.csv"
    assert path_columns("history", path) == {"model": "reference", "seed": 42}


def test_table_elsewhere_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected results/quantize/"):
        path_columns("ledger", tmp_path / "ledger.csv")


def test_tables_are_stacked_and_keep_their_own_columns(tmp_path):
    for seed in (42, 43):
        path = tmp_path / f"results/eviction/grid/seed{seed}/fifo.csv"
        path.parent.mkdir(parents=True)
        pd.DataFrame({"policy": ["measured"], "accuracy": [0.5]}).to_csv(path, index=False)
    table = read_tables("eviction", sorted(tmp_path.rglob("*.csv")))
    assert table["seed"].tolist() == [42, 43]
    assert table["policy"].tolist() == ["measured", "measured"]


def test_no_tables_is_an_error():
    with pytest.raises(ValueError, match="no deploy tables"):
        read_tables("deploy", [])
