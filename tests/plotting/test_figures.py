"""Figures show what the tables say, look the same every time and survive thin data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synapnet_edge.artifacts import code_fingerprint
from synapnet_edge.plotting import FIGURES, render, style
from synapnet_edge.registry import UnknownNameError
from synapnet_edge.reporting.forerunner import published_rows

NAMES = FIGURES.names()


def draw(name, tables):
    return FIGURES.get(name).draw(tables, {})


def panels(canvas):
    return {ax.get_title().split("\n")[-1]: ax for ax in canvas.axes}


def line(ax, label):
    return next(found for found in ax.get_lines() if found.get_label() == label)


def legend(canvas):
    return [text.get_text() for text in canvas.legends[0].get_texts()]


def test_all_figures_are_registered():
    folder = Path(style.__file__).parent
    drawing = {file.stem for file in folder.glob("*.py") if "\n@figure(" in file.read_text(encoding="utf-8")}
    assert set(NAMES) == drawing and len(NAMES) >= 13


@pytest.mark.parametrize("name", NAMES)
def test_figure_code_exists_and_names_its_own_file(name):
    found = FIGURES.get(name)
    assert found.module == f"plotting.{name}"
    assert len({code_fingerprint(module) for module in found.code}) == len(found.code)


def test_every_figure_has_its_part_of_the_report_and_a_sentence():
    parts = {name: FIGURES.get(name).category for name in NAMES}
    assert {
        "headline": "Summary",
        "long_context": "Benchmarks",
        "size_ledger": "Quantisation",
    }.items() <= parts.items()
    assert {
        "training_curves": "Training",
        "eviction_grid": "Memory",
        "deploy_rss": "Deployment",
    }.items() <= parts.items()
    assert all(FIGURES.get(name).about.endswith(".") for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_equal_tables_give_equal_bytes(name, thin_tables, tmp_path):
    for turn in ("a", "b"):
        render(name, thin_tables, tmp_path / f"{turn}.pdf", tmp_path / f"{turn}.png", {})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert b"CreationDate" not in (tmp_path / "a.pdf").read_bytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["thin_tables", "empty_tables"])
def test_thin_and_empty_tables_still_give_files(name, kind, request, tmp_path):
    render(name, request.getfixturevalue(kind), tmp_path / "f.pdf", tmp_path / "f.png", {})
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_no_text_is_cut_at_the_edge_of_the_figure(name, tables, tmp_path):
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with rc_context(style.RC):
        canvas = draw(name, tables)
        renderer = FigureCanvasAgg(canvas).get_renderer()
        canvas.draw(renderer)
    width, height = canvas.bbox.width, canvas.bbox.height
    texts = [t for ax in canvas.axes for t in [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]]
    texts += [t for found in canvas.legends for t in found.get_texts()]
    for text in [*texts, canvas._supxlabel]:
        if text.get_text():
            box = text.get_window_extent(renderer)
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
            assert inside, f"{text.get_text()!r} leaves the figure"


@pytest.mark.parametrize("name", NAMES)
def test_axes_carry_units_and_the_caption_n_and_seeds(name, tables):
    canvas = draw(name, tables)
    labels = [ax.get_xlabel() + ax.get_ylabel() for ax in canvas.axes if ax.axison]
    assert any("(" in label and ")" in label for label in labels)
    caption = canvas._supxlabel.get_text()
    assert "n = " in caption and "seed" in caption


def test_missing_source_is_named(tables, tmp_path):
    del tables["ledger"]
    with pytest.raises(ValueError, match="ledger"):
        render("size_ledger", tables, tmp_path / "f.pdf", tmp_path / "f.png", {})


def test_unknown_figure_names_a_near_match(tables, tmp_path):
    with pytest.raises(UnknownNameError, match="size_ledger"):
        render("size_leger", tables, tmp_path / "f.pdf", tmp_path / "f.png", {})


def test_accuracy_panels_show_seed_means_published_points_and_levels(tables):
    table = tables["benchmark"]
    canvas = draw("accuracy_vs_length", tables)
    found = panels(canvas)
    ax = found["reference/niah_single"]
    cells = table[(table["task"] == "reference/niah_single") & (table["variant"] == "cajq_ptq")]
    np.testing.assert_allclose(
        line(ax, "cajq_ptq").get_ydata(), cells.groupby("length")["score"].mean().to_numpy()
    )
    drawn = {tuple(container.lines[0].get_ydata()) for container in ax.containers}
    theirs = [r for r in published_rows("reference/niah_single") if r.variant == "fp16"]
    assert tuple(row.mean for row in theirs) in drawn
    assert line(ax, "chance").get_ydata()[0] == pytest.approx(1 / 64)
    assert line(found["reference/niah_multi_key"], "best shortcut").get_ydata()[0] == pytest.approx(0.27)
    assert not found["reference/fa"].containers  # nothing published for that task
    assert "published: forerunner fp16" in legend(canvas)


def test_accuracy_marks_keep_each_variant_apart_at_the_same_score(tables):
    ax = panels(draw("accuracy_vs_length", tables))["reference/niah_single"]
    starts = [line(ax, variant).get_xdata()[0] for variant in ("fp16", "int8", "cajq_qat")]
    assert len(set(starts)) == 3


def test_training_curves_draw_one_line_per_seed_and_shade_stages(tables):
    canvas = draw("training_curves", tables)
    accuracy, loss = canvas.axes
    for ax in (accuracy, loss):
        assert [f"seed {s}" for s in (1, 2, 3)] == [
            found.get_label() for found in ax.get_lines() if not found.get_label().startswith("_")
        ]
        assert len(ax.patches) == 2  # every second of four stages
    assert [note.get_text() for note in accuracy.texts] == ["64", "128", "512", "1K"]


def test_size_bars_add_up_to_the_ledger(tables):
    ledger = tables["ledger"]
    ax = draw("size_ledger", tables).axes[0]
    variants = [tick.get_text() for tick in ax.get_yticklabels()]
    ends = {v: max(b.get_x() + b.get_width() for c in ax.containers for b in [c[i]])
            for i, v in enumerate(variants)}  # fmt: skip
    for variant, end in ends.items():
        mine = ledger[(ledger["variant"] == variant) & (ledger["seed"] == 1)]
        assert end == pytest.approx(mine["bytes"].sum() / 1e6)
        bits = 8 * mine["bytes"].sum() / mine["parameters"].sum()
        assert any(f"{end:.2f} MB · {bits:.2f} bits" in text.get_text() for text in ax.texts)


def test_eviction_rows_show_accuracy_and_retention_of_each_policy(tables):
    grid = tables["eviction"]
    canvas = draw("eviction_grid", tables)
    assert len(canvas.axes) == 8  # two rows, early and late at two lengths
    cells = grid[(grid["position"] == "early") & (grid["length"] == 1024) & (grid["policy"] == "baee")]
    accuracy = next(c for c in canvas.axes[0].containers if c.get_label() == "baee").lines[0]
    np.testing.assert_allclose(
        np.asarray(accuracy.get_ydata(), dtype=float), cells.groupby("budget")["accuracy"].mean().to_numpy()
    )
    np.testing.assert_allclose(
        line(canvas.axes[4], "baee").get_ydata(), cells.groupby("budget")["retention"].mean().to_numpy()
    )
    assert legend(canvas)[0] == "no eviction"


def test_eviction_leaves_query_aware_rows_out_of_the_default_view(tables):
    grid = tables["eviction"]
    aware = grid.assign(query_aware=True, accuracy=1.0)
    both = draw("eviction_grid", {"eviction": pd.concat([grid, aware])})
    plain = draw("eviction_grid", {"eviction": grid})
    for ours, theirs in zip(both.axes, plain.axes, strict=True):
        for a, b in zip(ours.get_lines(), theirs.get_lines(), strict=True):
            np.testing.assert_array_equal(a.get_ydata(), b.get_ydata())


def test_deploy_draws_the_best_float_arm_strongest(tables):
    canvas = draw("deploy_throughput", tables)
    assert [ax.get_title() for ax in canvas.axes[:2]] == ["cpu_multi (2 threads)", "cpu_single (1 thread)"]
    for ax in canvas.axes:
        widths = {c.get_label(): c.lines[0].get_linewidth() for c in ax.containers}
        assert max(widths, key=widths.get) == "fp16 · torch-bf16"
        assert sorted(widths.values())[-2] < max(widths.values())


def test_roofline_puts_each_arm_where_its_numbers_say_and_memory_curves_rise_from_zero(tables):
    deploy = tables["deploy"]
    ax = draw("deploy_roofline", tables).axes[0]
    arm = deploy[(deploy["tier"] == "cpu_multi") & (deploy["backend"] == "fast") & (deploy["context"] == 512)]
    value = arm.set_index("metric")["value"]
    x = value["decode_macs_per_token"] / value["decode_bytes_per_token"]
    y = value["decode_macs_per_token"] * value["decode_tokens_per_second"]
    marks = np.concatenate([found.get_offsets() for found in ax.collections])
    assert np.isclose(marks, (x, y), rtol=1e-9).all(axis=1).any()
    assert [found.get_label() for found in ax.get_lines()][0].startswith("_")
    for panel in draw("deploy_memory", tables).axes:
        assert panel.get_ylim()[0] == 0


def test_sustained_speed_is_relative_to_each_arms_mean(tables):
    speed, *_ = draw("deploy_sustained", tables).axes
    for found in speed.get_lines()[1:]:
        assert found.get_ydata().mean() == pytest.approx(1.0)


def test_stream_speed_is_relative_to_the_settled_one_and_answers_are_marked_by_outcome(tables):
    speed, memory, answers = draw("stream_curve", tables).axes
    trace = tables["stream_trace"]
    run = trace[trace["seed"] == 2]
    drawn = line(speed, "seed 2").get_ydata()
    late = run.loc[run["tokens"] >= 65536, "tokens_per_second"].to_numpy()
    np.testing.assert_allclose(
        drawn, run["tokens_per_second"] / np.median(late[: len(late) // 4]), rtol=1e-12
    )
    np.testing.assert_allclose(line(memory, "seed 2").get_ydata(), run["rss_bytes"] / 1e6)
    table = tables["stream"]
    shares = table.groupby(["tokens", "depth"])["correct"].mean()
    counts = {found.get_label(): len(found.get_offsets()) for found in answers.collections}
    assert counts == {
        "every answer correct": int((shares == 1).sum()),
        "some correct": int(((shares > 0) & (shares < 1)).sum()),
        "none correct": int((shares == 0).sum()),
    }


def test_long_context_pools_seeds_and_marks_goals_training_length_and_published_numbers(tables):
    table = tables["benchmark"]
    canvas = draw("long_context", tables)
    ax = panels(canvas)["reference/niah_multi_key"]
    cells = table[(table["suite"] == "long_context") & (table["task"] == "reference/niah_multi_key")]
    means = next(found for found in ax.containers if found.get_label() == "mean over seeds").lines[0]
    drawn = np.asarray(means.get_ydata(), dtype=float)
    np.testing.assert_allclose(drawn, cells.groupby("length")["score"].mean().to_numpy())
    assert means.get_xdata().max() == 32768
    assert set(line(ax, "goal").get_ydata()) == {0.99, 0.95}
    assert line(ax, "published").get_ydata().tolist() == [
        row.mean for row in published_rows("reference/niah_multi_key") if row.variant == "fp16"
    ]
    assert 1024 in [found.get_xdata()[0] for found in ax.get_lines() if found.get_linestyle() == "--"]
    assert not [found for found in panels(canvas)["ruler/vt"].get_lines() if found.get_label() == "published"]


def test_long_context_leaves_other_suites_out(tables):
    other = tables["benchmark"][tables["benchmark"]["suite"] != "long_context"]
    canvas = draw("long_context", {**tables, "benchmark": other})
    assert [text.get_text() for text in canvas.axes[0].texts] == ["not measured"]


def test_training_cost_draws_core_minutes_mean_and_the_band_of_seeds(tables):
    probe = tables["probe"]
    ax = draw("training_cost", tables).axes[0]
    task = probe["task"].iloc[0]
    at = probe[probe["task"] == task].groupby("step")
    np.testing.assert_allclose(line(ax, task).get_xdata(), at["core_seconds"].mean() / 60)
    np.testing.assert_allclose(line(ax, task).get_ydata(), at["score"].mean())
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(at["score"].min().min())
    assert band.max() == pytest.approx(at["score"].max().max())


def test_ablation_shows_every_seed_and_the_mean_of_each_arm(tables):
    table = tables["experiment"]
    ax = draw("ablation", tables).axes[0]
    cells = table[(table["task"] == "reference/niah_single") & (table["length"] == 256)]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(dict.fromkeys(table["arm"]))
    np.testing.assert_allclose(line(ax, "one seed").get_xdata(), cells["score"])
    means = next(found for found in ax.containers if found.get_label() == "mean over seeds").lines[0]
    drawn = np.asarray(means.get_xdata(), dtype=float)
    np.testing.assert_allclose(drawn, cells.groupby("arm", sort=False)["score"].mean())


def test_a_name_keeps_its_look_in_every_figure():
    assert style.look_of("fp16", style.VARIANTS) == style.VARIANTS["fp16"]
    assert style.look_of("new_policy", style.POLICIES) == style.look_of("new_policy", style.POLICIES)
    looks = [(look.color, look.marker, look.dash) for look in style.VARIANTS.values()]
    assert len(set(looks)) == len(looks)


def test_listing_figures_needs_neither_matplotlib_nor_torch():
    code = (
        "import sys; from synapnet_edge.plotting import FIGURES; FIGURES.names(); "
        "print(sorted({'matplotlib', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
