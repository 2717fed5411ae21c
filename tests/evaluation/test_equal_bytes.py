import numpy as np
import pandas as pd
import pytest

from synapnet_edge.artifacts import write_table
from synapnet_edge.evaluation.equal_bytes import ALL, COLUMNS, equal_bytes_table

ACCURACY = {
    "fp16": 1.0,
    "uniform_int2g64": 0.2,
    "rtn_int2g64": 0.1,
    "cajq_int2g64": 0.7,
    "uniform_int8": 0.9,
    "cajq_int8": 0.9,
}


@pytest.fixture
def files(tmp_path):
    rows, benchmark, ledgers = [], [], {}
    for variant, accuracy in ACCURACY.items():
        for seed in (1, 2):
            rng = np.random.default_rng(seed)  # the same rows are hard for every variant
            scores = (rng.random((2, 40)) < accuracy).astype(float)
            table = pd.concat(
                pd.DataFrame({"row": range(40), "depth": 0.5, "score": scores[i], "task": task})
                for i, task in enumerate(("a", "b"))
            ).assign(suite="s", model="m", variant=variant, seed=seed, length=64, metric="accuracy")
            for kind, frame in (("rows", table), ("benchmark", table[["task", "metric"]].drop_duplicates())):
                path = tmp_path / f"{variant}-{seed}.{kind}.csv"
                write_table(path, frame)
                (rows if kind == "rows" else benchmark).append(path)
            size = 1000 if "int8" in variant else 300
            ledger = pd.DataFrame({"bytes": [size - 10 * variant.startswith("cajq")], "parameters": [1000]})
            ledgers[variant, seed] = tmp_path / f"{variant}-{seed}.ledger.csv"
            write_table(ledgers[variant, seed], ledger)
    return rows, benchmark, ledgers


def test_each_point_is_compared_with_its_better_uniform_model(files):
    table = equal_bytes_table(*files, resamples=200)
    assert list(table) == COLUMNS and len(table) == 2 * 3
    pooled = table[table["task"] == ALL].set_index("point")
    assert pooled.loc["int2g64", "uniform"] == "uniform_int2g64" and pooled.loc["int2g64", "n"] == 160
    assert pooled.loc["int2g64", "bits"] == pytest.approx(2.4)
    assert pooled.loc["int2g64", ["bytes_uniform", "bytes_cajq"]].tolist() == [300, 290]
    assert pooled.loc["int2g64", "difference"] > 0.3 and pooled.loc["int2g64", "p_holm"] < 0.01
    assert pooled.loc["int8", "difference"] == 0 and pooled.loc["int8", "p_value"] == 1
    assert pooled.loc["int8", "score_fp16"] == 1
    cells = table[table["task"] != ALL]
    assert cells["p_holm"].isna().all() and set(cells["n"]) == {80}
    by_hand = pooled["score_cajq"] - pooled["score_uniform"]
    np.testing.assert_allclose(by_hand.astype(float), pooled["difference"].astype(float), atol=1e-12)


def test_an_allocation_of_more_bytes_is_refused(files):
    rows, benchmark, ledgers = files
    write_table(ledgers["cajq_int8", 1], pd.DataFrame({"bytes": [1100], "parameters": [1000]}))
    with pytest.raises(ValueError, match="cajq_int8: found .* bytes, expected at most those of uniform_int8"):
        equal_bytes_table(rows, benchmark, ledgers, resamples=200)


def test_points_without_both_sides_are_an_error(files):
    rows, benchmark, ledgers = files
    only = [path for path in rows if "fp16" in path.name]
    with pytest.raises(ValueError, match="expected cajq_<point> and uniform_<point>"):
        equal_bytes_table(only, benchmark, ledgers, resamples=200)
