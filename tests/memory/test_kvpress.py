"""Scores and budgets against those of the `kvpress` package, on one layer of a small Llama."""

from __future__ import annotations

import math

import pytest
import torch

from synapnet_edge.memory.scoring import (
    QueryMoments,
    expected_attention,
    h2o,
    knorm,
    pyramid_budgets,
    snapkv,
    snapkv_votes,
    tova,
)

pytest.importorskip("transformers", reason="kvpress scores layers of transformers")
pytest.importorskip("kvpress", reason="kvpress is not installed: pip install 'synapnet-edge[kvpress]'")

import kvpress
from transformers import LlamaConfig, LlamaModel

HEADS, KV_HEADS, WIDTH, TOKENS = 4, 2, 8, 96
GROUP = HEADS // KV_HEADS


@pytest.fixture(scope="module")
def layer():
    """What a press is given of the second layer: module, states, keys, values, probabilities, positions."""
    torch.manual_seed(0)
    sizes = {"num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": WIDTH}
    cfg = LlamaConfig(
        vocab_size=50, hidden_size=HEADS * WIDTH, intermediate_size=64, num_hidden_layers=2, **sizes,
        attn_implementation="eager",
    )  # fmt: skip
    model = LlamaModel(cfg).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.3)  # probabilities far from even ones
    attention, seen = model.layers[1].self_attn, {}

    def record(module, args, kwargs, output):
        seen["states"] = kwargs.get("hidden_states", args[0] if args else None)
        seen["positions"], seen["probabilities"] = kwargs["position_embeddings"], output[1]

    hook = attention.register_forward_hook(record, with_kwargs=True)
    with torch.no_grad():
        found = model(torch.randint(0, 50, (1, TOKENS)), use_cache=True)
    hook.remove()
    attention.rotary_emb = model.rotary_emb  # as kvpress does before it scores
    cache = found.past_key_values.layers[1]
    return {
        "module": attention,
        "hidden_states": seen["states"],
        "keys": cache.keys,
        "values": cache.values,
        "attentions": seen["probabilities"],
        "kwargs": {"position_embeddings": seen["positions"]},
    }


def by_group(x):
    """Means over the query heads of a key head: [1, H, ...] -> [1, KV, ...]."""
    return x.unflatten(1, (KV_HEADS, GROUP)).mean(2)


def test_knorm(layer):
    torch.testing.assert_close(knorm(layer["keys"]), kvpress.KnormPress().score(**layer))


@pytest.mark.parametrize(("window", "kernel"), [(16, 5), (8, 1), (32, 7)])
def test_snapkv(layer, window, kernel):
    expected = kvpress.SnapKVPress(window_size=window, kernel_size=kernel).score(**layer)
    votes = by_group(snapkv_votes(layer["attentions"][..., -window:, :])) / window
    found = snapkv(votes, window, kernel=kernel, pool="avg")
    old = TOKENS - window
    torch.testing.assert_close(found[..., :old].float(), expected[..., :old], rtol=1e-5, atol=1e-7)
    assert bool((found[..., old:] > found[..., :old].max()).all()), "both keep the window"


def test_tova(layer):
    expected = kvpress.TOVAPress().score(**layer)
    found = tova(layer["attentions"][..., -1, :])
    torch.testing.assert_close(found[:, None, :-1].expand(-1, KV_HEADS, -1), expected[..., :-1])


def test_observed_attention_is_h2o_by_observers(layer):
    expected = kvpress.ObservedAttentionPress().score(**layer)
    sums = by_group(layer["attentions"].sum(2))
    found = h2o(sums, 0, observers=torch.arange(TOKENS, 0, -1))
    torch.testing.assert_close(found.float(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("covariance", [False, True])
def test_expected_attention(layer, covariance):
    sinks, future = 4, 32
    press = kvpress.ExpectedAttentionPress(n_future_positions=future, n_sink=sinks, use_covariance=covariance)
    expected = press.score(**layer)
    module, states = layer["module"], layer["hidden_states"][:, sinks:]
    queries = module.q_proj(states).unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)
    moments = QueryMoments((1, HEADS), WIDTH)
    for piece in queries.detach().split(17, dim=2):
        moments.add(piece)
    rotation = mean_rotation(module, future)
    mean = moments.mean @ rotation.T / math.sqrt(WIDTH)
    spread = rotation @ moments.covariance @ rotation.T / WIDTH if covariance else None
    keys, values = (layer[x][:, :, sinks:].repeat_interleave(GROUP, 1) for x in ("keys", "values"))
    found = by_group(expected_attention(keys, values, mean, spread))
    torch.testing.assert_close(found, expected[..., sinks:], rtol=1e-3, atol=1e-6)


def mean_rotation(module, future):
    """The rotation of rotary positions, averaged over the next ones [d, d]."""
    places = torch.arange(TOKENS, TOKENS + future)[None]
    cos, sin = module.rotary_emb(torch.zeros(1, WIDTH), places)
    half = WIDTH // 2
    turn = torch.zeros(WIDTH, WIDTH)
    turn[half:, :half], turn[:half, half:] = torch.eye(half), -torch.eye(half)
    return (cos[0][:, None] * torch.eye(WIDTH) + sin[0][:, None] * turn).mean(0)


@pytest.mark.parametrize(("layers", "share", "window"), [(8, 0.25, 8), (32, 0.2, 16), (6, 0.4, 8)])
def test_pyramid_budgets_differ_by_rounding_only(layers, share, window):
    length, beta = 1000, 5
    press = kvpress.PyramidKVPress(1 - share, window_size=window, beta=beta)

    class Module:
        class config:  # noqa: N801 (the name transformers uses)
            num_hidden_layers = layers

    theirs = []
    for index in range(layers):
        Module.layer_idx = index
        theirs.append(press.get_layer_budget(Module, length))
    ours = pyramid_budgets(layers, window + round(share * length), window=window, beta=beta, length=length)
    # The package's number leaves the window out of what it shares.
    assert all(abs(a - window - b) <= 1 for a, b in zip(ours, theirs, strict=True))
