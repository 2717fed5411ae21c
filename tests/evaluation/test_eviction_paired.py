"""Policies against BAEE on the same rows."""

import numpy as np
import pandas as pd
import pytest

from synapnet_edge.artifacts import ArtifactError, write_table
from synapnet_edge.evaluation.eviction_paired import COLUMNS, paired_policies


def rows(policy, seed, right, budget=0.1, aware=False):
    table = pd.DataFrame({"row": np.arange(len(right)), "correct": right, "held": right})
    facts = dict(task="pressure/cued", policy=policy, budget=budget, position="anywhere", length=2048)
    return table.assign(**facts, seed=seed, query_aware=aware)


def write(tmp_path, tables):
    files = []
    for number, table in enumerate(tables):
        files.append(tmp_path / f"{number}.rows.csv.gz")
        write_table(files[-1], table)
    return files


def test_a_policy_that_is_wrong_on_half_of_baees_rows_is_below_it(tmp_path):
    good, bad = np.ones(40, int), (np.arange(40) % 2)
    tables = [rows("baee", s, good) for s in (1, 2)] + [rows("fifo", s, bad) for s in (1, 2)]
    found = paired_policies(write(tmp_path, tables), resamples=200)
    assert list(found.columns) == COLUMNS and len(found) == 1
    line = found.iloc[0]
    assert (line["policy"], line["against"], line["n"], line["seeds"]) == ("fifo", "baee", 80, 2)
    assert line["difference"] == -0.5 and line["p_holm"] < 1e-6 and line["budget"] == 0.1


def test_budgets_and_protocols_are_cells_of_their_own(tmp_path):
    good, bad = np.ones(8, int), np.zeros(8, int)
    tables = []
    for budget, aware in ((0.1, False), (0.5, False), (0.1, True)):
        tables += [rows("baee", 1, good, budget, aware), rows("h2o", 1, bad, budget, aware)]
    found = paired_policies(write(tmp_path, tables), resamples=50)
    assert sorted(zip(found["budget"], found["query_aware"], strict=True)) == [
        (0.1, False),
        (0.1, True),
        (0.5, False),
    ]
    assert (found["difference"] == -1.0).all()


def test_without_baee_there_is_nothing_to_compare_with_and_other_tables_are_refused(tmp_path):
    files = write(tmp_path, [rows("fifo", 1, np.ones(4, int))])
    assert paired_policies(files, resamples=10).empty and paired_policies([], resamples=10).empty
    write_table(tmp_path / "x.csv", pd.DataFrame({"policy": ["baee"]}))
    with pytest.raises(ArtifactError, match="missing"):
        paired_policies([tmp_path / "x.csv"], resamples=10)
