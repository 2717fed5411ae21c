"""The long stream: tokens that do not depend on the cut, questions that leave no trace, a kept budget."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from synapnet_edge.artifacts import ArtifactError
from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.evaluation.fork import fork
from synapnet_edge.evaluation.long_haystack import LongHaystack
from synapnet_edge.evaluation.stream import (
    COLUMNS,
    TRACE_COLUMNS,
    StreamPlan,
    _Run,
    asking_point,
    run_stream,
)
from synapnet_edge.memory import BAEEMemoryManager, RetentionClassifier
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.tasks.catalog import TASKS

PLAN = {
    "tokens": 1024,
    "budget_mb": 0.02,
    "policy": "baee",
    "depths": 3,
    "piece": 64,
    "checkpoints": [256, 511],
    "trace_every": 128,
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
    return run_stream(model, PLAN, seed=5, test_seed=1, progress=False)


def test_tokens_are_the_same_however_the_stream_is_cut():
    depths = np.linspace(0, 1, 3)
    whole = LongHaystack(9000, depths, 3).piece(0, 9000)
    other = LongHaystack(9000, depths, 3)
    cuts = [0, 1, 4095, 4097, 8192, 9000]
    pieces = [other.piece(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert np.array_equal(np.concatenate(pieces, axis=1), whole)
    assert np.array_equal(other.piece(100, 200), whole[:, 100:200])
    assert not np.array_equal(LongHaystack(9000, depths, 4).piece(0, 9000), whole)
    assert len({row.tobytes() for row in whole[:, 10:500]}) == 3


def test_rows_are_those_of_the_reference_construction():
    depths = np.linspace(0, 1, 11)
    rows = LongHaystack(5000, depths, 7)
    ids = np.concatenate([rows.piece(0, 5000), np.tile([4, 3], (11, 1))], axis=1)
    assert (ids[:, 0] == 1).all()
    assert np.array_equal(TASKS.get("reference/niah_single").oracle(ids), rows.labels)
    is_class = (ids >= 5) & (ids < 69)
    assert (is_class.sum(axis=1) == 1).all() and np.array_equal(is_class.argmax(axis=1), rows.needles)
    assert rows.needles.tolist() == [1, *range(500, 5000, 500), 4999]


def test_tables_have_the_fixed_columns_and_ask_only_passed_needles(tables):
    answers, trace = tables
    assert list(answers.columns) == COLUMNS and list(trace.columns) == TRACE_COLUMNS
    # depth 0.5 is token 512: it has not passed at 511, which moves to 512 since 511 would close the chunk
    assert answers.groupby("tokens")["depth"].apply(list).to_dict() == {
        256: [0.0],
        512: [0.0],
        1024: [0.0, 0.5, 1.0],
    }
    assert answers.loc[answers["tokens"] == 1024, "distance"].tolist() == [1023, 512, 1]
    assert (answers["correct"] == (answers["label"] == answers["predicted"])).all()
    assert answers["held_layers"].between(0, 2).all() and (answers["seed"] == 5).all()


def test_trace_covers_the_stream_and_the_store_keeps_its_budget(tables):
    _, trace = tables
    assert trace["tokens"].tolist() == list(range(128, 1025, 128))
    assert (trace["store_bytes"] <= trace["budget_bytes"]).all()
    assert trace["budget_bytes"].unique().tolist() == [int(0.02 * 2**20)]
    full = trace[trace["tokens"] >= 512]
    assert full["resident_bytes"].nunique() == 1  # nothing grows once the budget is full
    np.testing.assert_allclose(trace["tokens_per_second"], 3 * trace["stream_tokens_per_second"])
    assert (trace[["seconds", "rss_bytes"]] > 0).all().all()


@pytest.mark.parametrize("policy", ["baee", "h2o", "salience+fp16+int8+summary"])
def test_a_killed_stream_goes_on_as_if_nothing_had_happened(model, policy, tmp_path, monkeypatch):
    file, plan, rows = tmp_path / "stream.safetensors", PLAN | {"policy": policy}, []
    whole, whole_trace = run_stream(model, plan, seed=5, test_seed=1, progress=False)
    record = _Run.record

    def killed(run):
        record(run)
        rows.append(run.state.tokens)
        if len(rows) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(_Run, "record", killed)
    with pytest.raises(KeyboardInterrupt):
        run_stream(model, plan, seed=5, test_seed=1, progress=False, resume=file)
    answers, trace = run_stream(model, plan, seed=5, test_seed=1, progress=False, resume=file)
    assert rows == [128, 256, 384, 512, 640, 640, 768, 896, 1024]  # 640 was not saved any more
    pd.testing.assert_frame_equal(answers, whole)
    same = [name for name in TRACE_COLUMNS if "second" not in name and name != "rss_bytes"]
    pd.testing.assert_frame_equal(trace[same], whole_trace[same])
    with pytest.raises(ArtifactError, match="'batch': 3"):
        run_stream(model, plan | {"depths": 2}, seed=5, test_seed=1, progress=False, resume=file)


@pytest.mark.parametrize("policy", ["baee", "lru", "fifo"])
def test_questions_do_not_disturb_the_stream(model, policy):
    plan = PLAN | {"policy": policy, "checkpoints": list(range(100, 1000, 50))}
    asked, trace = run_stream(model, plan, seed=0, test_seed=2, progress=False)
    plain, plain_trace = run_stream(model, plan | {"checkpoints": []}, seed=0, test_seed=2, progress=False)
    last = asked[asked["tokens"] == 1024].reset_index(drop=True)
    assert last.equals(plain)
    tiers = ["store_bytes", "fp16_entries", "int8_entries", "summary_entries"]
    assert trace[tiers].equals(plain_trace[tiers])


def test_fork_leaves_every_tensor_of_state_and_store_alone(model):
    store = BAEEMemoryManager(32, 2, 0.02, heads=2)
    state = model.init_state(2, store=store)
    ids = torch.randint(69, 4096, (2, 300), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        model.step(ids[:, :290], state)
        before = [
            {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
            for layer in state.layers
        ]
        copies = [{n: x.clone() for n, x in f.items() if isinstance(x, torch.Tensor)} for f in before]
        blocks = [{name: x.clone() for name, x in block.data.items()} for block in store.blocks]
        model.step(ids[:, 290:292], fork(state))
    assert state.tokens == 290 and state.chunk_fill == 2
    for layer, fields, copy in zip(state.layers, before, copies, strict=True):
        for name, x in copy.items():
            assert getattr(layer, name) is fields[name] and torch.equal(fields[name], x)
    for block, copy in zip(store.blocks, blocks, strict=True):
        assert all(torch.equal(block.data[name], x) for name, x in copy.items())


def test_a_question_that_would_close_a_chunk_is_refused_by_the_store_and_avoided(model):
    state = model.init_state(1, store=BAEEMemoryManager(32, 2, 0.02))
    with torch.inference_mode(), pytest.raises(RuntimeError, match="closed its chunk"):
        model.step(torch.full((1, 32), 100), fork(state))
    assert [asking_point(tokens, 32) for tokens in (0, 29, 30, 31, 32)] == [0, 29, 32, 32, 32]
    with pytest.raises(ValueError, match="needs chunks longer"):
        asking_point(5, 2)


def test_answer_at_the_end_is_that_of_the_whole_row_with_enough_memory(model):
    plan = PLAN | {"budget_mb": 4.0, "policy": "fifo", "piece": 50}
    answers, _ = run_stream(model, plan, seed=0, test_seed=3, progress=False)
    rows = LongHaystack(1024, np.linspace(0, 1, 3), 3)
    ids = np.concatenate([rows.piece(0, 1024), np.tile([4, 3], (3, 1))], axis=1)
    with torch.inference_mode():
        logits = model(torch.from_numpy(ids), store=BAEEMemoryManager(32, 2, 4.0, policy="fifo"))
    last = answers[answers["tokens"] == 1024]
    assert last["predicted"].tolist() == logits.argmax(dim=-1).tolist()
    assert (last["held_layers"] >= 0).all()


def test_classifier_and_autocast_run(model):
    answers, trace = run_stream(
        model,
        PLAN,
        seed=0,
        test_seed=1,
        classifier=RetentionClassifier(32),
        autocast=True,
        progress=False,
    )
    assert len(answers) == 5 and (trace["store_bytes"] <= trace["budget_bytes"]).all()


def test_mistakes_in_the_plan_are_named():
    with pytest.raises(ValueError, match="missing keys.*piece"):
        StreamPlan.from_dict({key: value for key, value in PLAN.items() if key != "piece"})
    with pytest.raises(ValueError, match="below tokens"):
        StreamPlan.from_dict(PLAN | {"checkpoints": [4096]})
    with pytest.raises(ValueError, match="oracle"):
        StreamPlan.from_dict(PLAN | {"policy": "oracle"})
