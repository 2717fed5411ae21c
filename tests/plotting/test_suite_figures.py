"""Figures of the guarded suites show the cells, intervals and levels that the tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from synapnet_edge.plotting import FIGURES
from synapnet_edge.plotting.needle_heatmap import per_depth
from synapnet_edge.plotting.suite_overview import fullest_length
from synapnet_edge.reporting.aggregate import scores
from synapnet_edge.reporting.effective_length import MEAN, THRESHOLD, suite_means


def draw(name, tables):
    return FIGURES.get(name).draw(tables, {})


def panels(canvas):
    return {ax.get_title().replace("\n", " "): ax for ax in canvas.axes if ax.axison}


def series(ax, label):
    return next(found for found in ax.containers if found.get_label() == label)


def cells_of(tables, suite):
    table = scores(tables["benchmark"])
    return table[table["suite"] == suite]


def image(ax):
    return ax.get_images()[0].get_array()


def test_needle_map_has_the_score_and_the_number_of_answers_at_every_depth_and_length(tables):
    rows = tables["rows"]
    found = panels(draw("needle_heatmap", tables))
    assert {"snia fp16", "mkn cajq_qat"} <= set(found)
    ax = found["snia fp16"]
    mine = rows[(rows["task"] == "needlebench/snia") & (rows["variant"] == "fp16")]
    at = mine[(mine["depth"] == 0.3) & (mine["length"] == 4096)]
    assert image(ax).shape == (11, 2)
    assert image(ax)[3, 1] == pytest.approx(at["score"].mean())
    texts = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert texts[3, 1] == str(len(at))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["512", "4K"]


def test_needle_map_of_a_task_with_an_answer_at_every_depth_counts_answers_not_rows(tables):
    rows = tables["rows"]
    mkn = rows[rows["task"] == "needlebench/mkn"]
    assert set(mkn["metric"]) == {"readout_accuracy", "accuracy"}
    assert set(per_depth(rows[rows["task"] == "needlebench/mkn"])["metric"]) == {"readout_accuracy"}
    ax = panels(draw("needle_heatmap", tables))["mkn fp16"]
    assert {text.get_text() for text in ax.texts} == {"66"}  # 3 seeds x 22 rows


def test_needle_map_leaves_out_answers_without_a_place_and_other_suites(tables):
    rows = tables["rows"].assign(depth=np.nan)
    empty = draw("needle_heatmap", {"rows": rows})
    assert [text.get_text() for text in empty.axes[0].texts] == ["not measured"]
    other = draw("needle_heatmap", {"rows": tables["rows"].assign(suite="ruler")})
    assert [text.get_text() for text in other.axes[0].texts] == ["not measured"]
    thin = tables["rows"][tables["rows"]["depth"] != 0.5]
    assert image(panels(draw("needle_heatmap", {"rows": thin}))["snia fp16"]).mask[5].all()


def test_overview_bars_are_pooled_scores_with_their_interval_and_levels(tables):
    cells = cells_of(tables, "ruler")
    ax = panels(draw("suite_overview", tables))["ruler, 16K tokens"]
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert ticks[0] == MEAN and len(ticks) == 1 + cells["task"].nunique()
    bars = series(ax, "int4")
    row = cells[(cells["variant"] == "int4") & (cells["length"] == 16384)].set_index("task")
    index = ticks.index("niah_single_2")
    height = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars}
    assert height[index] == pytest.approx(row.loc["ruler/niah_single_2", "mean"])
    assert height[0] == pytest.approx(row["mean"].mean())
    ends = {round(path[0][0]): path[:, 1] for path in bars.errorbar.lines[2][0].get_segments()}
    assert ends[index] == pytest.approx(row.loc["ruler/niah_single_2", ["ci_low", "ci_high"]].to_list())
    shortcut = next(found for found in ax.collections if found.get_label() == "best shortcut")
    drawn = {round(path[:, 0].mean()): path[0, 1] for path in shortcut.get_segments()}
    assert drawn[ticks.index("niah_single_1")] == pytest.approx(1.0)
    assert drawn[index] == pytest.approx(row.loc["ruler/niah_single_2", "guess"])


def test_overview_takes_the_length_with_most_tasks():
    part = pd.DataFrame({"task": ["a", "b", "a", "b", "a"], "length": [512, 512, 1024, 1024, 2048]})
    assert fullest_length(part) == 1024


def test_degradation_draws_every_length_with_intervals_and_marks_training_and_threshold(tables):
    canvas = draw("degradation", tables)
    found = panels(canvas)
    cells = cells_of(tables, "longbench")
    line = series(found["longbench/summarization"], "int4")
    mine = cells[(cells["task"] == "longbench/summarization") & (cells["variant"] == "int4")]
    np.testing.assert_allclose(line.lines[0].get_ydata().astype(float), mine["mean"])
    ends = np.array([path[:, 1] for path in line.lines[2][0].get_segments()])
    np.testing.assert_allclose(ends, mine[["ci_low", "ci_high"]].to_numpy())
    means = suite_means(cells_of(tables, "ruler"))
    drawn = series(found[f"ruler: {MEAN}"], "fp16").lines[0].get_ydata().astype(float)
    np.testing.assert_allclose(drawn, means[means["variant"] == "fp16"]["mean"])
    levels = [line.get_ydata()[0] for line in found["ruler/niah_single_1"].get_lines()]
    assert THRESHOLD in levels
    trained = tables["history"]["length"].max()
    assert trained in [found.get_xdata()[0] for found in found["ruler/niah_single_1"].get_lines()]


def test_effective_lengths_are_written_and_coloured_by_task_and_variant(tables):
    table = tables["benchmark"].copy()
    mine = (table["task"] == "ruler/niah_single_2") & (table["variant"] == "int4")
    table.loc[mine, "score"] = table.loc[mine, "length"].map({512: 0.99, 2048: 0.86, 16384: 0.2})
    bad = (table["task"] == "ruler/niah_single_2") & (table["variant"] == "int8")
    table.loc[bad, "score"] = 0.1
    ax = panels(draw("effective_length", {"benchmark": table}))["ruler"]
    tasks = [tick.get_text() for tick in ax.get_yticklabels()]
    variants = [tick.get_text() for tick in ax.get_xticklabels()]
    assert tasks[0] == MEAN and "niah_single_1 *" in tasks
    words = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in ax.texts}
    row, int4, int8 = tasks.index("niah_single_2"), variants.index("int4"), variants.index("int8")
    assert words[row, int4] == "2K (512)"
    assert words[row, int8] == "<512 (<512)"
    assert words[tasks.index("niah_single_1 *"), 0] == "≥16K (≥16K)"
    assert image(ax)[row, int4] == 11 and image(ax)[row, int8] == 8
