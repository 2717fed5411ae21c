"""Every baseline: equal to the maintained implementation, the same however it is streamed, causal, fitted."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from synapnet_edge.baselines import BASELINES, BaselineUnavailable, Shape, count_parameters, fit
from synapnet_edge.baselines.hymba import layer_plan
from tests.baselines.conftest import build, shape_of

KINDS = ["llama", "mamba2", "falcon_h1", "hymba"]


def hidden_of(model, ids, pieces=None):
    state = model.init_state(len(ids))
    parts = [model.step(part, state)[0] for part in ids.split(pieces or ids.shape[1], 1)]
    return torch.cat(parts, 1)


@torch.no_grad()
def test_llama_equals_the_library(ids):
    from transformers.models.llama.modeling_llama import LlamaModel

    ours = build("llama")
    theirs = LlamaModel(ours.blocks[0].attention.config).eval()
    theirs.embed_tokens.load_state_dict(ours.embed.token.state_dict())
    theirs.norm.load_state_dict(ours.norm.state_dict())
    for layer, block in zip(theirs.layers, ours.blocks, strict=True):
        layer.self_attn.load_state_dict(block.attention.state_dict())
        layer.mlp.load_state_dict(block.ff.state_dict())
        layer.input_layernorm.load_state_dict(block.norm.state_dict())
        layer.post_attention_layernorm.load_state_dict(block.ff_norm.state_dict())
    expected = theirs(ids).last_hidden_state
    assert torch.allclose(hidden_of(ours, ids), expected, atol=1e-5)


@torch.no_grad()
def test_mamba2_equals_the_library(ids):
    from transformers.models.mamba2.configuration_mamba2 import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Model

    ours = build("mamba2")
    sizes = {
        "num_heads": 4,
        "head_dim": 16,
        "state_size": 8,
        "n_groups": 1,
        "expand": 2,
        "pad_token_id": None,
    }
    theirs = Mamba2Model(Mamba2Config(vocab_size=96, hidden_size=32, num_hidden_layers=3, **sizes)).eval()
    theirs.embeddings.load_state_dict(ours.embed.token.state_dict())
    theirs.norm_f.load_state_dict(ours.norm.state_dict())
    for layer, block in zip(theirs.layers, ours.blocks, strict=True):
        layer.mixer.load_state_dict(block.ssm.state_dict())
        layer.norm.load_state_dict(block.norm.state_dict())
    assert torch.allclose(hidden_of(ours, ids), theirs(ids).last_hidden_state, atol=1e-5)


@torch.no_grad()
def test_falcon_h1_equals_the_library(ids):
    from transformers.models.falcon_h1.modeling_falcon_h1 import FalconH1Model

    ours = build("falcon_h1")
    theirs = FalconH1Model(ours.blocks[0].attention.config).eval()
    theirs.embed_tokens.load_state_dict(ours.embed.token.state_dict())
    theirs.final_layernorm.load_state_dict(ours.norm.state_dict())
    for layer, block in zip(theirs.layers, ours.blocks, strict=True):
        layer.mamba.load_state_dict(block.ssm.state_dict())
        layer.self_attn.load_state_dict(block.attention.state_dict())
        layer.feed_forward.load_state_dict(block.ff.state_dict())
        layer.input_layernorm.load_state_dict(block.norm.state_dict())
        layer.pre_ff_layernorm.load_state_dict(block.ff_norm.state_dict())
    assert torch.allclose(hidden_of(ours, ids), theirs(ids).last_hidden_state, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_pieces_of_any_length_give_one_pass(ids, kind):
    model = build(kind)
    whole = hidden_of(model, ids)
    for pieces in (1, 2, 5, 16):
        assert torch.allclose(hidden_of(model, ids, pieces), whole, atol=2e-5), pieces


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_prompt_may_be_cut_at_every_position(ids, kind):
    model, ids = build(kind), ids[:1, :12]
    whole = hidden_of(model, ids)
    for cut in range(1, ids.shape[1]):
        state = model.init_state(1)
        parts = [model.step(part, state)[0] for part in (ids[:, :cut], ids[:, cut:])]
        assert torch.allclose(torch.cat(parts, 1), whole, atol=2e-5), cut


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_later_tokens_change_nothing_before(ids, kind):
    model, changed = build(kind), ids.clone()
    changed[:, 20:] = (changed[:, 20:] + 7) % 96
    before, after = hidden_of(model, ids), hidden_of(model, changed)
    assert torch.allclose(before[:, :20], after[:, :20], atol=1e-6)
    assert not torch.allclose(before[:, 20:], after[:, 20:], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_end_of_an_input_is_always_read(kind):
    """Whatever the length: the last token, where the question stands, decides the logits."""
    model = build(kind)
    ids = torch.randint(0, 96, (1, 700), generator=torch.Generator().manual_seed(2))
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 96
    assert not torch.allclose(model(ids), model(changed), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_read_outs_at_positions_are_those_of_prefixes(ids, kind):
    model = build(kind)
    at = torch.tensor([[4, 20, 32]]).expand(2, -1)
    logits = model(ids, at)
    assert logits.shape == (2, 3, 8) and logits.dtype == torch.float32
    for column, position in enumerate((4, 20, 32)):
        assert torch.allclose(logits[:, column], model(ids[:, : position + 1]), atol=2e-5)


@torch.no_grad()
def test_state_grows_only_where_it_must():
    ids = torch.randint(0, 96, (1, 64), generator=torch.Generator().manual_seed(3))
    grown = {}
    for kind in KINDS:
        model, sizes = build(kind), []
        state = model.init_state(1)
        for piece in ids.split(32, 1):
            model.step(piece, state)
            sizes.append(model.state_bytes(state))
        grown[kind] = sizes[1] - sizes[0]
    per_token = 2 * 2 * 2 * 8 * 2  # layers, keys and values, heads, width, bytes
    assert grown["llama"] == 32 * per_token
    assert grown["mamba2"] == 0
    assert grown["falcon_h1"] == 32 * per_token // 2
    assert grown["hymba"] == 32 * 3 * 2 * 2 * 8 * 2, "three global layers; the windows are full"


def test_hymba_layers_follow_the_published_plan():
    shares, everywhere = layer_plan(8)
    assert [i for i, flag in enumerate(everywhere) if flag] == [0, 4, 7]
    assert [i for i, flag in enumerate(shares) if flag] == [2, 6], "the second of each pair of local layers"


@torch.no_grad()
def test_hymba_meta_tokens_stay_visible_in_the_window():
    """A local layer sees them however far the stream has gone, and not what left its window."""
    model = build("hymba")
    local = [block for block in model.blocks if not block.mixer.everywhere and not block.mixer.shares]
    ids = torch.randint(0, 96, (1, 40), generator=torch.Generator().manual_seed(4))
    state = model.init_state(1)
    model.step(ids, state)
    layer = state.layers[list(model.blocks).index(local[0])]
    assert layer.kv.keys.shape[2] == model.cfg.meta_tokens + model.cfg.window - 1
    fresh = model.init_state(1).layers[list(model.blocks).index(local[0])]
    assert torch.equal(layer.kv.keys[:, :, :3], fresh.kv.keys)


def test_parameters_are_fitted_to_the_target():
    for kind in KINDS:
        base, key = shape_of(kind), BASELINES.get(kind).fitted
        # one step of a small model is more than 5 %
        fitted = fit(base, key, 60_000, count_parameters, tolerance=0.15)
        assert abs(count_parameters(fitted) - 60_000) <= 0.15 * 60_000, kind


def test_an_impossible_size_says_what_was_found():
    with pytest.raises(
        ValueError, match=r"llama: the nearest ff_hidden = 8 gives .* parameters, expected 100"
    ):
        fit(shape_of("llama"), "ff_hidden", 100, count_parameters)


def test_counting_allocates_nothing_and_is_exact():
    for kind in KINDS:
        model = build(kind)
        assert count_parameters(model.cfg) == sum(p.numel() for p in model.parameters())
        assert sum(model.component_parameters().values()) == count_parameters(model.cfg)


def test_shape_survives_a_round_trip_and_refuses_nonsense():
    shape = shape_of("falcon_h1")
    assert Shape.from_dict(shape.to_dict()) == shape
    with pytest.raises(ValueError, match="unknown keys"):
        Shape.from_dict({**shape.to_dict(), "hedas": 2})
    with pytest.raises(ValueError, match=r"kv_heads: found 3"):
        replace(shape, kv_heads=3)


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers.models.llama.modeling_llama", None)
    with pytest.raises(BaselineUnavailable, match="synapnet-edge\\[baselines\\]"):
        BASELINES.get("llama")(shape_of("llama"))
