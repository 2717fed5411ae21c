"""What each pathway computes, against a slow and obvious computation of the same thing."""

import math

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge, UnboundedStore
from synapnet_edge.models.attend import attend, normalised_heads
from synapnet_edge.models.episodic_memory import Pending, WriteableMemory
from synapnet_edge.models.scale_bridge import ScaleBridge, neutralise_bridges
from synapnet_edge.models.sparse_attention import SparseEventAttention
from synapnet_edge.models.ssm import CausalConv
from tests.models.conftest import build


def test_fused_and_differentiable_attention_agree():
    generator = torch.Generator().manual_seed(0)
    query, keys, values = (torch.randn(2, 3, n, 8, generator=generator) for n in (5, 7, 7))
    bias = torch.randn(2, 1, 5, 7, generator=generator).masked_fill(
        torch.rand(2, 1, 5, 7, generator=generator) < 0.3, -math.inf
    )
    bias[..., 0] = 0.0
    with torch.no_grad():
        fused = attend(query, keys, values, bias)
    torch.testing.assert_close(fused, attend(query, keys, values, bias).detach(), rtol=1e-5, atol=1e-6)


def test_convolution_equals_a_hand_loop_and_carries_its_tail():
    torch.manual_seed(0)
    conv = CausalConv(3, 4)
    x = torch.randn(1, 6, 3)
    expected = torch.zeros_like(x)
    for t in range(6):
        for tap in range(4):
            if t - 3 + tap >= 0:
                expected[:, t] += conv.weight[:, tap] * x[:, t - 3 + tap]
    expected += conv.bias
    out, tail = conv(x, torch.zeros(1, 3, 3))
    torch.testing.assert_close(out, expected)
    assert torch.equal(tail, x[:, 3:])


def visible_by_hand(salience, block, top_k):
    """Own and previous block causally, plus the top_k most salient keys before the previous block."""
    total = len(salience)
    visible = torch.zeros(total, total, dtype=torch.bool)
    for t in range(total):
        start = max(0, (t // block - 1) * block)
        visible[t, start : t + 1] = True
        earlier = sorted(range(start), key=lambda s: -salience[s])[:top_k]
        visible[t, earlier] = True
    return visible


@pytest.mark.parametrize("past", [0, 5, 19])
def test_sparse_attention_sees_its_window_and_the_most_salient_keys(past):
    attention = SparseEventAttention(dim=8, inner=8, heads=2, window=4, top_k=3)
    salience = torch.randn(2, 20, generator=torch.Generator().manual_seed(3))
    visible = attention._visible(salience, past).expand(2, 1, -1, -1)[:, 0]
    for row in range(2):
        assert torch.equal(visible[row], visible_by_hand(salience[row].tolist(), 2, 3)[past:])


def test_memory_writes_the_most_salient_tokens_with_their_positions(model, ids):
    store = UnboundedStore()
    state = model.init_state(3, store=store)
    with torch.no_grad():
        model.step(ids[:, :15], state)
        salience = state.layers[0].log_salience.clone()
        model.step(ids[:, 15:16], state)
    best = salience.topk(4, dim=1).values
    written = store.read(0)
    assert written.keys.shape == (3, 2, 4, 8)
    positions = store.positions[0]
    assert (positions.diff(dim=1) > 0).all() and positions.max() < 16
    # The sixteenth token may displace one of the best fifteen, never more.
    assert (written.bias.min(1).values >= best.min(1).values).all()


def test_entry_quantizer_sees_what_is_written(model, ids):
    model.entry_quantizer = lambda entries: torch.zeros_like(entries)
    store = UnboundedStore()
    with torch.no_grad():
        model(ids, store=store)
    assert store.read(1).keys.abs().max() == 0


def test_ssmax_keeps_a_match_visible_among_ten_times_more_distractors():
    """With logits scaled by log(1 + n) the share of a matching key survives; unscaled it decays like 1/n."""
    width, shares = 8, {}
    for scaled in (True, False):
        for count in (50, 500):
            sharpness = math.log1p(count) if scaled else math.log1p(50)
            keys = torch.zeros(count, width)
            keys[0, 0] = 4.0
            query = torch.zeros(width)
            query[0] = sharpness
            shares[scaled, count] = (keys @ query / math.sqrt(width)).softmax(0)[0].item()
    assert shares[True, 500] > 0.95 * shares[True, 50]
    assert shares[False, 500] < 0.8 * shares[False, 50]


@pytest.mark.parametrize("matches", [1, 3, 8])
@pytest.mark.parametrize("others", [20, 400])
def test_a_read_against_a_level_null_slot_counts_matches_at_any_memory_size(matches, others):
    """At null level 1 the share of m perfect matches is m / (m + 1), however many other entries there are."""
    torch.manual_seed(0)
    memory = WriteableMemory(dim=32, inner=32, heads=1)
    with torch.no_grad():
        memory.sharpness.fill_(4.0)
        memory.null_level.fill_(1.0)
        memory.q_proj.weight.copy_(memory.k_proj.weight)
        memory.v_proj.weight.copy_(torch.eye(32))
        memory.o_proj.weight.copy_(torch.eye(32))
        asked = torch.randn(1, 1, 32)
        bound = torch.cat([asked.expand(1, matches, 32), torch.randn(1, others, 32), asked], dim=1)
        keys, values = memory.project(bound)
        assert (values[..., -1] == 1).all()
        values[:, :, :matches], values[:, :, matches:] = 1.0, 0.0
        salience = torch.zeros(1, bound.shape[1])
        salience[:, -1] = -50.0  # the question itself is no record
        read = memory.read(asked, Pending(keys, values, salience), UnboundedStore(), 0)
    expected = matches / (matches + 1)
    # The last feature answers the null slot, so a key's own last feature moves its logit a little.
    assert abs(read.mean().item() - expected) < 0.1


def test_untrained_memory_finds_the_value_of_an_asked_key():
    """Starting weights are lookups: the read mass goes to the token after the asked key."""
    model = build(dim=64, heads=2, ff_hidden=64)
    block, key, value = model.blocks[0], 7, 11
    ids = torch.randint(12, 40, (1, 14), generator=torch.Generator().manual_seed(0))
    ids[0, 4], ids[0, 5], ids[0, 12] = key, value, key
    with torch.no_grad():
        u = block.norm(model.embed(ids, 0))
        bound, _, _ = block.ssm.bind(u, block.ssm.initial_state(1, u.device))
        query = normalised_heads(block.memory.q_proj(bound), 2)
        keys, _ = block.memory.project(bound)
        logits = (query @ keys.transpose(-1, -2))[0, 0, 13, :13]
    assert logits.argmax().item() == 5


def test_neutralised_bridges_are_plain_sums(model):
    torch.nn.init.normal_(model.blocks[0].bridge.gain)
    neutralise_bridges(model)
    outputs = [torch.randn(2, 3, 16) for _ in range(3)]
    torch.testing.assert_close(model.blocks[0].bridge(torch.randn(2, 3, 16), outputs), sum(outputs))
    with pytest.raises(ValueError, match="no ScaleBridge"):
        neutralise_bridges(build(use_bridge=False))


@pytest.mark.parametrize(
    "part", ["use_ssm", "use_attention", "use_memory", "use_bridge", "use_ssmax", "use_preconv"]
)
def test_a_model_without_one_part_runs_streams_and_trains_all_it_has(part, ids):
    model = build(**{part: False}).train()
    logits = model(ids)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    streamed, _ = model.eval().forward_streaming(ids, chunk_size=5)
    torch.testing.assert_close(streamed, logits.detach(), rtol=1e-4, atol=1e-5)


def test_bridge_starts_as_a_plain_sum():
    torch.manual_seed(0)
    outputs = [torch.randn(2, 3, 4) for _ in range(3)]
    torch.testing.assert_close(ScaleBridge(4)(torch.randn(2, 3, 4), outputs), sum(outputs))


def test_gradients_reach_every_parameter_including_the_salience(any_head, ids):
    any_head.train()
    logits = any_head(ids)
    torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), torch.zeros(logits.flatten(0, -2).shape[0], dtype=torch.long)
    ).backward()
    for name, parameter in any_head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_memory_gradients_cross_chunk_boundaries(model, ids):
    """A loss at the end trains the projections that wrote the first chunk."""
    model.train()
    model(ids).square().sum().backward()
    assert model.blocks[0].memory.k_proj.weight.grad.abs().max() > 0
    assert model.blocks[0].salience.score.weight.grad.abs().max() > 0


def test_component_counts_sum_to_the_model():
    model = build()
    counts = model.component_parameters()
    assert sum(counts.values()) == sum(parameter.numel() for parameter in model.parameters())
    assert all(count > 0 for count in counts.values())


def test_reference_configuration_has_about_8_7_million_parameters():
    count = sum(parameter.numel() for parameter in SynapNetEdge(SynapNetEdgeConfig()).parameters())
    assert abs(count - 8.7e6) < 0.03 * 8.7e6


@pytest.mark.parametrize("length", [0, 17])
def test_a_chunk_length_the_positions_do_not_cover_is_refused(model, length):
    with pytest.raises(ValueError, match="chunk_len"):
        model.init_state(1, chunk_len=length or -1)


def test_a_shorter_chunk_writes_its_share(model, ids):
    store = UnboundedStore()
    with torch.no_grad():
        model(ids[:, :16], chunk_len=8, write_share=0.5, store=store)
    assert store.read(0).keys.shape[2] == 8
