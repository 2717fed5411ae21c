"""What is timed is what the model computes: pieces, single tokens, a copy that leaves the original alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.profiling.backends import BACKENDS
from synapnet_edge.profiling.bench import arms_of
from synapnet_edge.profiling.dense_model import DenseModel
from synapnet_edge.profiling.metrics.speed import Stream
from synapnet_edge.profiling.traffic import count_macs, gathered_bytes


@pytest.fixture(scope="module")
def session(paths):
    return BACKENDS.get("torch-fp32").load(paths["fp16"], "cpu", 1)


def test_a_stream_read_in_pieces_ends_where_one_pass_ends(session):
    ids = session.place(np.arange(40) % 96)
    stream = Stream(session, ids)
    stream.advance(23, 7)
    stream.advance(40, 16)
    assert stream.read == 40 and stream.state.tokens == 40 and stream.seconds > 0
    with torch.inference_mode():
        whole = session.model(ids)
        torch.testing.assert_close(session.read_out(stream.hidden)[:, 0], whole, atol=1e-5, rtol=1e-5)


def test_decoding_runs_on_a_copy(session):
    ids = session.place(np.arange(48) % 96)
    stream = Stream(session, ids)
    stream.advance(32, 16)
    taken = stream.decode(8)
    assert len(taken) == 8 and (taken > 0).all()
    assert stream.state.tokens == 32
    fork = session.fork(stream.state)
    session.feed(ids[:, 32:40], fork)
    assert (fork.tokens, stream.state.tokens) == (40, 32)


def test_the_state_of_a_stream_is_counted_without_its_model(session):
    stream = Stream(session, session.place(np.arange(64) % 96))
    stream.advance(64, 16)
    state = session.state_bytes(stream.state)
    assert 0 < session.store_bytes(stream.state) <= state < session.parameter_bytes()
    stream.state.extra = session.model
    assert session.state_bytes(stream.state) == state


def test_products_of_one_token_are_those_of_its_linear_layers_and_some_attention(paths, session):
    linear = sum(m.weight.numel() for m in session.model.modules() if isinstance(m, torch.nn.Linear))
    work = count_macs(paths["fp16"], 32, 16)
    assert linear <= work.decode < 1.5 * linear
    head = session.model.head.weight.numel()  # a piece is not read out
    assert linear - head <= work.prefill < 2 * linear


def test_the_token_table_is_the_share_that_a_token_does_not_read(paths, session):
    table = sum(p.numel() * 4 for p in (session.model.embed.token.weight, session.model.embed.prior))
    held = session.parameter_bytes()
    assert gathered_bytes(paths["fp16"], held) == pytest.approx(table, rel=0.02)


def test_the_dense_model_sees_the_future_and_has_a_last_position(shape):
    cfg = SynapNetEdgeConfig.from_dict(shape)
    torch.manual_seed(0)
    model = DenseModel(cfg, 32).eval()
    ids = torch.randint(0, cfg.vocab_size, (1, 20))
    changed = ids.clone()
    changed[0, 0] = (ids[0, 0] + 1) % cfg.vocab_size
    assert model(ids).shape == (1, cfg.num_classes)
    assert not torch.allclose(model(ids), model(changed))
    with pytest.raises(ValueError, match="expected at most 32"):
        model(torch.zeros(1, 33, dtype=torch.int64))


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    from synapnet_edge.baselines import BASELINES, Shape
    from synapnet_edge.quantization import VARIANTS, save_quantized

    sizes = {"dim": 16, "depth": 1, "vocab_size": 96, "num_classes": 8, "heads": 2, "kv_heads": 1}
    model = BASELINES.get("llama")(Shape("llama", **sizes, head_dim=8, ff_hidden=16)).eval()
    path = tmp_path_factory.mktemp("baseline") / "fp16.safetensors"
    save_quantized(model, VARIANTS.get("fp16").recipe, path, variant="fp16")
    return path


def test_a_stored_baseline_is_an_arm_of_the_torch_backends_only(baseline):
    arms, skipped = arms_of({"fp16": baseline}, ("torch-fp32", "fast"), "cpu")
    assert [arm.key for arm in arms] == ["fp16/torch-fp32"]
    assert skipped == {"fp16/fast": "the backend does not compute models of this kind"}


def test_the_state_of_a_baseline_with_a_cache_grows_with_its_context(baseline):
    session = BACKENDS.get("torch-fp32").load(baseline, "cpu", 1)
    stream = Stream(session, session.place(np.arange(72) % 96))
    stream.advance(16, 16)
    small = session.state_bytes(stream.state)
    stream.advance(64, 16)
    assert session.state_bytes(stream.state) > 2 * small
    assert session.store_bytes(stream.state) is None
    before = stream.state.tokens
    stream.decode(1)
    assert stream.state.tokens == before
