"""Paired comparison of variants: the tests, their correction and what must not be compared."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synapnet_edge.artifacts import ArtifactError, write_table
from synapnet_edge.evaluation.paired import COLUMNS, ROWS, compare, holm, paired_table, read_rows
from synapnet_edge.evaluation.resampling import resampled_means
from synapnet_edge.evaluation.runner import ROW_COLUMNS

CELL = {"suite": "ruler", "model": "reference", "task": "ruler/vt", "length": 1024, "metric": "accuracy"}


def rows_of(scores, **changes):
    """Rows table from variant -> scores [seeds, rows]."""
    lines = [
        {**CELL, **changes, "variant": variant, "seed": 42 + s, "row": r, "depth": r / 100, "score": score}
        for variant, table in scores.items()
        for s, one in enumerate(np.atleast_2d(table))
        for r, score in enumerate(one)
    ]
    return pd.DataFrame(lines)[ROWS]


def right(*first_wrong, rows=100):
    """Scores [seeds, rows]: right but for the first few rows."""
    return np.stack([(np.arange(rows) >= wrong).astype(float) for wrong in first_wrong])


def only(table):
    assert len(table) == 1
    return table.iloc[0]


def test_zero_one_scores_get_mcnemars_exact_test_over_all_seeds_and_rows():
    fp16, int4 = right(0, 0, 0), right(4, 2, 3)
    int4[0, 50:60] = 0
    fp16[0, 60:62] = 0
    line = only(compare(rows_of({"fp16": fp16, "int4": int4}), against=["fp16"]))
    assert (line["variant_a"], line["variant_b"], line["test"]) == ("int4", "fp16", "mcnemar_exact")
    assert (line["seeds"], line["n"]) == (3, 300)
    assert line["difference"] == pytest.approx(-17 / 300)
    assert line["p_value"] == pytest.approx(stats.binomtest(2, 21, 0.5).pvalue)
    assert line["ci_low"] < line["difference"] < line["ci_high"]


def test_fractional_scores_get_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 5, (1, 200)) / 4
    better = np.clip(base + 0.25 * (rng.random((1, 200)) < 0.3), 0, 1)
    line = only(compare(rows_of({"fp16": base, "int8": better}), against=["fp16"], resamples=2000))
    assert line["test"] == "paired_bootstrap"
    assert 0 < line["ci_low"] < line["difference"] < line["ci_high"]
    assert line["p_value"] == pytest.approx(2 / 2001)  # no resample on the other side
    # Against the usual normal interval of paired differences of one model.
    gap = (better - base)[0]
    half = 1.96 * gap.std(ddof=1) / np.sqrt(200)
    assert line["ci_high"] - line["ci_low"] == pytest.approx(2 * half, rel=0.08)


def test_equal_fractional_scores_have_p_one_and_rejecting_needs_a_difference():
    rng = np.random.default_rng(1)
    values = rng.random((3, 50))
    line = only(compare(rows_of({"a": values, "b": values}), against=["b"], resamples=500))
    assert line["p_value"] == 1.0 and line["difference"] == 0


def test_seeds_that_disagree_widen_the_interval():
    same = {"a": right(10, 10, 10), "b": right(0, 0, 0)}
    apart = {"a": right(0, 10, 20), "b": right(0, 0, 0)}
    widths = [
        only(compare(rows_of(scores), against=["b"])).pipe(lambda line: line["ci_high"] - line["ci_low"])
        for scores in (same, apart)
    ]
    assert widths[1] > 1.3 * widths[0]


def test_no_difference_at_all_still_has_an_interval():
    line = only(compare(rows_of({"a": right(0), "b": right(0)}), against=["b"]))
    never = stats.binomtest(0, 100).proportion_ci(method="exact").high
    assert (line["difference"], line["p_value"]) == (0, 1)
    assert (line["ci_low"], line["ci_high"]) == pytest.approx((-never, never))
    always = only(compare(rows_of({"a": right(0), "b": right(100)}), against=["b"]))
    assert (always["ci_low"], always["ci_high"]) == pytest.approx((1 - never, 1))


def test_every_variant_is_compared_with_the_named_ones_and_no_pair_twice():
    scores = {name: right(i) for i, name in enumerate(("fp16", "fp16_ft", "int8"))}
    table = compare(rows_of(scores), against=["fp16", "fp16_ft", "cajq_qat"])
    pairs = list(zip(table["variant_a"], table["variant_b"], strict=True))
    assert pairs == [("fp16_ft", "fp16"), ("int8", "fp16"), ("int8", "fp16_ft")]


def test_holm_corrects_over_the_whole_table():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1.0, 1.0])
    assert holm([]).size == 0
    table = pd.concat(
        rows_of({"fp16": right(0), "int4": right(wrong)}, length=length)
        for length, wrong in ((512, 6), (1024, 8), (2048, 1))
    )
    found = compare(table, against=["fp16"])
    np.testing.assert_allclose(found["p_holm"], holm(found["p_value"]))
    assert (found["p_holm"] >= found["p_value"]).all()
    assert found["p_holm"].iloc[1] == pytest.approx(3 * found["p_value"].iloc[1])


def test_a_cell_gives_the_same_numbers_whatever_stands_beside_it():
    rng = np.random.default_rng(2)
    table = rows_of({"a": rng.random((2, 30)), "b": rng.random((2, 30))})
    beside = rows_of({"a": rng.random((2, 30)), "b": rng.random((2, 30))}, length=512)
    alone = only(compare(table, against=["b"], resamples=200))
    both = compare(pd.concat([beside, table]), against=["b"], resamples=200)
    assert both.iloc[1].drop("p_holm").equals(alone.drop("p_holm"))


def test_only_shared_seeds_are_paired():
    table = rows_of({"a": right(1, 2), "b": right(0, 0)})
    more = rows_of({"a": right(9)}).assign(seed=99)
    assert only(compare(pd.concat([table, more]), against=["b"]))["seeds"] == 2
    with pytest.raises(ValueError, match="ruler/vt 1024.*no trained seed of both a and b"):
        compare(pd.concat([table[table["variant"] == "b"], more]), against=["b"])


def test_different_rows_are_refused():
    table = rows_of({"a": right(1), "b": right(0)})
    with pytest.raises(ValueError, match="ruler/vt 1024.*other rows for b of seed 42"):
        compare(table.iloc[:-1], against=["b"])
    with pytest.raises(ValueError, match="row scored twice"):
        compare(pd.concat([table, table.iloc[:1]]), against=["b"])
    moved = table.copy()
    moved.loc[3, "depth"] = 0.9
    with pytest.raises(ValueError, match="other rows for row 3"):
        compare(moved, against=["b"])
    with pytest.raises(ValueError, match=r"scores 0.0 to 7.0, expected 0 to 1"):
        compare(table.assign(score=table["score"] * 7), against=["b"])


def test_resampled_means_have_the_spread_of_seeds_and_rows():
    rng = np.random.default_rng(3)
    rows_only = resampled_means([rng.normal(0, 1, (1, 400))], 4000, rng)
    assert rows_only.std() == pytest.approx(1 / 20, rel=0.1)
    by_seed = np.array([[-1.0], [0.0], [1.0]]) + np.zeros((3, 50))
    seeds_only = resampled_means([by_seed], 4000, rng)
    assert seeds_only.std() == pytest.approx(1 / np.sqrt(3), rel=0.05)  # s / sqrt(S), s with n - 1
    assert resampled_means([by_seed, by_seed[:1]], 10, rng).shape == (2, 10)
    for tables in ([np.zeros((3, 1))], [np.zeros((1, 5)), np.zeros((1, 4))], [np.zeros(5)]):
        with pytest.raises(ValueError, match="seeds x rows"):
            resampled_means(tables, 10, rng)


def test_files_are_read_joined_and_compared_by_the_main_metric(tmp_path):
    paths = []
    for (variant, wrong), seed in product((("fp16", 0), ("int4", 8)), (42, 43)):
        table = rows_of({variant: right(wrong)}, task="ruler/niah_multikey_1").assign(seed=seed)
        path = tmp_path / f"{variant}-{seed}.rows.csv.gz"
        write_table(path, pd.concat([table.assign(metric="absolute_error", score=9.0), table]))
        paths.append(path)
    cells = tmp_path / "int4-42.csv"
    write_table(cells, pd.DataFrame([{"task": "ruler/niah_multikey_1", "metric": "accuracy", "score": 0.92}]))
    line = only(paired_table(paths, [cells], against=["fp16"], resamples=500))
    assert list(line.index) == COLUMNS
    assert (line["metric"], line["seeds"], line["n"]) == ("accuracy", 2, 200)
    assert line["difference"] == pytest.approx(-0.08)
    assert list(paired_table([], [], against=["fp16"], resamples=10).columns) == COLUMNS


def test_the_benchmark_writes_what_is_read_here():
    assert set(ROWS) <= set(ROW_COLUMNS)


def test_a_damaged_rows_file_is_named(tmp_path):
    path = tmp_path / "x.rows.csv.gz"
    table = rows_of({"fp16": right(0)})
    write_table(path, table.drop(columns="depth"))
    with pytest.raises(ArtifactError, match=r"x.rows.csv.gz.*missing \['depth'\]"):
        read_rows(path)
    table.loc[5, "score"] = np.nan
    write_table(path, table)
    with pytest.raises(ArtifactError, match="found score nan in row 5"):
        read_rows(path)
