"""Figures of trade-offs: fronts, qualities and what is drawn agree with the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from synapnet_edge.plotting import FIGURES
from synapnet_edge.plotting.pareto_memory import own_memory
from synapnet_edge.plotting.tradeoff import Point, front, quality
from synapnet_edge.reporting.forerunner import published_rows


def draw(name, tables):
    return FIGURES.get(name).draw(tables, {})


def point(x, y, name="a"):
    return Point(name, name, (x, x, x), (y, y, y))


def test_the_front_keeps_what_nothing_beats():
    points = [point(3, 0.9), point(1, 0.5), point(2, 0.4), point(2, 0.7), point(4, 0.9), point(1, 0.2)]
    assert [(p.x[0], p.y[0]) for p in front(points)] == [(1, 0.5), (2, 0.7), (3, 0.9)]


def cells(**scores):
    rows = [
        dict(suite="s", task=task, task_version=1, model="reference", variant=variant, backend="b", seed=seed)
        | dict(length=64, n=100, score=score, ci_low=0, ci_high=1, chance=0, guess=0)
        for variant, by_task in scores.items()
        for task, score in by_task.items()
        for seed in (1, 2)
    ]
    return pd.DataFrame(rows)


def test_variants_are_compared_on_cells_that_all_of_them_answered():
    found = quality(cells(fp16={"easy": 1.0, "hard": 0.2}, int4={"easy": 0.9}), "reference")
    assert (found.cells, found.n, found.seeds) == (1, [200, 200], 2)
    assert found.of["fp16"][0] == 1.0 and found.of["int4"][0] == pytest.approx(0.9)


def test_the_interval_of_a_mean_is_narrower_than_those_of_its_cells():
    one = quality(cells(fp16={"a": 0.5}), "reference").of["fp16"]
    two = quality(cells(fp16={"a": 0.5, "b": 0.5}), "reference").of["fp16"]
    assert two[2] - two[1] == pytest.approx((one[2] - one[1]) / np.sqrt(2))


def test_memory_is_counted_above_the_interpreter_of_the_same_arm():
    rows = [
        dict(tier="t", variant=variant, backend="b", context=context, metric=metric, value=value)
        | dict(ci_low=value - 1, ci_high=value + 1)
        for variant, metric, context, value in (
            ("fp16", "baseline_rss_bytes", 0, 100.0),
            ("fp16", "steady_rss_bytes", 64, 130.0),
            ("int4", "steady_rss_bytes", 64, 120.0),  # without a baseline: not comparable
        )
    ]
    held = own_memory(pd.DataFrame(rows))
    assert held[["variant", "value", "ci_low", "ci_high"]].values.tolist() == [["fp16", 30.0, 29.0, 31.0]]


def test_storage_has_both_scales_and_a_name_at_every_variant(tables):
    canvas = draw("storage_accuracy", tables)
    ax = canvas.axes[0]
    ledger = tables["ledger"]
    stored = ledger.groupby(["variant", "seed"])["bytes"].sum().groupby(level="variant").mean() / 1e6
    drawn = {found.get_label(): found.lines[0].get_xdata()[0] for found in ax.containers}
    assert drawn == pytest.approx(stored.to_dict())
    assert {text.get_text() for text in ax.texts} == set(stored.index)
    bits = ax.child_axes[0]
    canvas.draw_without_rendering()
    per_parameter = 8e6 * ax.get_xlim()[0] / ledger.groupby(["variant", "seed"])["parameters"].sum().mean()
    assert bits.get_xlim()[0] == pytest.approx(per_parameter)


def test_latency_is_taken_at_the_longest_context_of_all_arms(tables):
    deploy = tables["deploy"]
    short = (deploy["context"] == 8192) & (deploy["variant"] == "int4")
    canvas = draw("pareto_latency", {**tables, "deploy": deploy[~short]})
    titles = [ax.get_title() for ax in canvas.axes]
    assert titles == ["cpu_multi, context 4K", "cpu_single, context 4K"]
    row = deploy[
        (deploy["tier"] == "cpu_single") & (deploy["variant"] == "int4") & (deploy["context"] == 4096)
    ]
    row = row[row["metric"] == "decode_tokens_per_second"]
    drawn = next(found for found in canvas.axes[1].containers if found.get_label() == "int4")
    assert drawn.lines[0].get_xdata()[0] == pytest.approx(1000 / row["value"].iloc[0])


def test_speed_is_relative_to_the_shortest_context_of_the_same_arm(tables):
    decode = draw("hardware_scaling", tables).axes[1]
    arm = next(a for a in decode.containers if a.get_label() == "cpu_single int8 torch-reference")
    deploy = tables["deploy"]
    mine = deploy[(deploy["tier"] == "cpu_single") & (deploy["variant"] == "int8")]
    mine = mine[mine["metric"] == "decode_tokens_per_second"].sort_values("context")["value"].to_numpy()
    np.testing.assert_allclose(np.asarray(arm.lines[0].get_ydata(), dtype=float), mine / mine[0])


def test_the_bridge_figure_shows_three_arms_and_every_seed(tables):
    table = tables["experiment"]
    ax = draw("scale_bridge", tables).axes[0]
    bars = {
        box.get_label(): [bar.get_height() for bar in box]
        for box in ax.containers
        if box.get_label()[0] != "_"
    }
    assert list(bars) == ["full", "no_bridge", "bridge_removed"]
    here = table[(table["arm"] == "bridge_removed") & (table["length"] == 256)]
    expected = here.groupby("task", sort=False)["score"].mean()
    assert bars["bridge_removed"] == pytest.approx(expected.tolist())
    dots = sum(len(line.get_xdata()) for line in ax.get_lines() if line.get_marker() == "o")
    assert dots == 3 * 3 * table["task"].nunique()


def test_needlebench_puts_the_published_number_beside_every_variant(tables):
    table = tables["benchmark"]
    rows = table[(table["suite"] == "needlebench_reference") & (table["task"] == "reference/mkn")]
    only = {**tables, "benchmark": table[table["task"] != "reference/snia"]}
    ax = draw("needlebench", only).axes[0]
    drawn = {box.get_label(): float(box.lines[0].get_xdata()[0]) for box in ax.containers}
    means = rows.groupby("variant")["score"].mean()
    assert drawn == pytest.approx(means.to_dict())
    hollow = [line for line in ax.get_lines() if line.get_markerfacecolor() == "white"]
    expected = next(row for row in published_rows("reference/mkn") if row.length == 1024)
    assert [float(line.get_xdata()[0]) for line in hollow] == [expected.mean]


def test_headline_says_where_a_table_has_no_rows(tables, empty_tables):
    full = [text.get_text() for ax in draw("headline", tables).axes for text in ax.texts]
    assert "not measured" not in full
    mixed = {**tables, "eviction": empty_tables["eviction"], "deploy": empty_tables["deploy"]}
    panels = draw("headline", mixed).axes
    assert [[t.get_text() for t in ax.texts] for ax in panels[2:4]] == [["not measured"]] * 2


def test_the_map_marks_cells_that_do_not_exceed_the_guess(tables):
    table = tables["benchmark"].copy()
    mine = (table["suite"] == "long_context") & (table["task"] == "ruler/vt") & (table["length"] == 1024)
    table.loc[mine, ["score", "guess"]] = [0.3, 0.35]
    texts = [t.get_text() for t in draw("task_heatmap", {**tables, "benchmark": table}).axes[0].texts]
    assert "0.30*" in texts and sum("*" in text for text in texts) == 1
