"""The baselines' report: who is ahead, by how much, and the two goals."""

from __future__ import annotations

import pandas as pd
import pytest

from synapnet_edge.reporting import baselines, rivals
from tests.plotting import conftest as made


def run_tables(ours=0.9, llama=0.8, ours_weights=10.0, llama_weights=20.0):
    """Two models, one task, three lengths; ours carries 1 MB, the Llama 4 KB a token."""
    row = {"suite": "baselines", "task": "t", "task_version": 1, "backend": "reference", "seed": 1, "n": 100}
    row |= {"ci_low": 0.0, "ci_high": 1.0, "chance": 0.1, "guess": 0.2, "variant": "fp16"}

    def cells(model, score):
        return pd.DataFrame(
            [{**row, "model": model, "length": n, "score": score} for n in (1024, 2048, 4096)]
        )

    cost = []
    for context in (1024, 65536):
        for model, state in (("reference", 1e6), ("llama", 4096.0 * context)):
            facts = {
                "tier": "cpu_single",
                "model": model,
                "variant": "fp16",
                "context": context,
                "threads": 1,
            }
            cost.append({**facts, "metric": "state_bytes", "value": state})
            cost.append(
                {**facts, "metric": "decode_tokens_per_second", "value": 100.0 if model == "llama" else 80.0}
            )
            cost.append({**facts, "metric": "prefill_tokens_per_second", "value": 1000.0})
    ledgers = {}
    for kind, model, size in (
        ("baseline_our_ledger", "reference", ours_weights),
        ("baseline_ledger", "llama", llama_weights),
    ):
        facts = {"model": model, "contender": model, "seed": 1, "variant": "fp16", "parameters": 1}
        columns = facts if kind == "baseline_ledger" else {k: v for k, v in facts.items() if k != "contender"}
        columns = {k: v for k, v in columns.items() if not (kind == "baseline_ledger" and k == "model")}
        ledgers[kind] = pd.DataFrame([{**columns, "bytes": size * 1e6}])
    return {
        "baseline_ours": cells("reference", ours),
        "baseline_benchmark": cells("llama", llama),
        "baseline_cost": pd.DataFrame(cost),
        **ledgers,
    }


def test_points_add_weights_and_carried_state_at_the_length():
    found = rivals.points(run_tables()).set_index(["model", "length"])
    assert found.loc[("llama", 2048), "total"] == pytest.approx(20e6 + 4096 * 2048)
    assert found.loc[("reference", 4096), "total"] == pytest.approx(11e6)
    assert bool(found.loc[("reference", 1024), "ours"]) and not found.loc[("llama", 1024), "ours"]


def test_goal_is_met_unless_a_baseline_wins_in_both():
    assert [goal.met for goal in baselines.goals(run_tables())] == [True, True]
    assert baselines.goals(run_tables(llama=0.95))[0].met, "better answers for more bytes are no win in both"
    lost = baselines.goals(run_tables(llama=0.95, llama_weights=1.0, ours_weights=30.0))
    assert not lost[0].met and "2 pairs of llama" in lost[0].measured
    assert "intervals apart" in lost[0].measured


def test_carried_bytes_are_compared_with_the_llamas():
    goal = baselines.goals(run_tables())[1]
    assert goal.met and goal.measured.startswith("1/268 (1.00 against 268.44 MB)")


def test_findings_say_where_a_baseline_wins():
    text = " ".join(baselines.findings(run_tables(llama=0.95)))
    assert "llama answers better than the best variant of ours in 3 of 3 cells" in text
    assert "llama is ahead of a variant of ours in accuracy and decode speed at 1024, 2048, 4096." in text
    assert "llama decodes faster than ours" in text
    behind = " ".join(baselines.findings(run_tables(llama=0.5)))
    assert "answers better" not in behind and "in accuracy and" not in behind


def test_a_tie_with_fewer_bytes_counts_as_ahead():
    pairs = rivals.ahead(rivals.points(run_tables(ours=0.9, llama=0.9, llama_weights=1.0, ours_weights=30.0)))
    assert len(pairs) == 3 and not pairs["apart"].any()


def test_report_has_every_part_and_names_what_it_rests_on(tmp_path):
    tables = {key: make() for key, make in made.MAKERS.items() if key.startswith("baseline_")}
    manifest = {
        "stage": "baseline_train",
        "model": "llama",
        "component_parameters": {"ff": 7, "embedding": 5},
    }
    manifest |= {"learning_rate": 1.5e-3, "cpu_seconds": 120.0, "tokens_per_second": 2000.0}
    config = {"baselines": {"kv": {"task": "some/task", "length": 64}}}
    baselines.write_baseline_report(tables, config, [manifest], tmp_path / "baselines.md")
    text = (tmp_path / "baselines.md").read_text(encoding="utf-8")
    for part in ("## Goals", "### Models", "### Accuracy", "### Effective length", "### Bytes", "### Speed"):
        assert part in text
    assert "**0.0015 (1.000)**" in text and "| llama | 12 | 1 |" in text
    assert "some/task at 64 tokens" in text and "| snapkv | yes |" in text


def test_means_leave_out_tasks_that_lack_a_length():
    tables = run_tables()
    extra = tables["baseline_ours"].iloc[:1].assign(task="short", score=0.0)
    tables["baseline_ours"] = pd.concat([tables["baseline_ours"], extra])
    means = rivals.means(rivals.cells(tables))
    assert set(means.loc[means["ours"], "mean"]) == {0.9}
