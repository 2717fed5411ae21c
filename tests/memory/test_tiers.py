"""Entry formats and slot blocks."""

import math

import pytest
import torch

from synapnet_edge.memory.exchange import admit_best, exchange
from synapnet_edge.memory.tiers import (
    METADATA,
    SCALE_FLOOR,
    Block,
    dequantize_int8,
    entry_bytes,
    quantize_int8,
    share_out,
)


def entries(positions: list[list[int]], heads: int = 2, width: int = 3) -> dict[str, torch.Tensor]:
    """[1 layer, B, K] entries whose payload and metadata all repeat their position."""
    position = torch.tensor(positions)[None]
    shape = (*position.shape, heads, width)
    tagged = position.float()
    payload = tagged[..., None, None].expand(shape).half()
    data = {"keys": payload, "values": -payload}
    return data | {name: tagged.to(dtype) for name, (dtype, _) in METADATA.items()}


def block(entry_format: str = "fp16", capacity: int = 4, batch: int = 1) -> Block:
    device = torch.device("cpu")
    return Block(entry_format, capacity, layers=1, batch=batch, heads=2, width=3, device=device)


def test_int8_error_is_at_most_half_a_step_and_codes_fit_the_rounded_scale():
    x = (
        torch.randn(50, 6, 32, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-3, 3, 50)[:, None, None]
    )
    codes, scale = quantize_int8(x)
    assert scale.dtype == torch.float16
    back = dequantize_int8(codes, scale)
    step = x.abs().amax(-1, keepdim=True) / 127
    # FP16 rounding of the scale costs the largest values up to 2^-11 of themselves on top of half a step.
    assert bool(((x - back).abs() <= 0.5 * step * 1.001 + x.abs() * 2**-10 + 0.5 * SCALE_FLOOR).all())
    assert float((x - back).norm() / x.norm()) < 0.01


def test_int8_scale_of_tiny_entries_does_not_underflow():
    codes, scale = quantize_int8(torch.full((1, 1, 4), 1e-9))
    assert float(scale) >= 6.1e-5 and bool(torch.isfinite(dequantize_int8(codes, scale)).all())


def test_requantising_an_int8_entry_changes_nothing():
    codes, scale = quantize_int8(torch.randn(20, 2, 16, generator=torch.Generator().manual_seed(1)))
    again, second = quantize_int8(dequantize_int8(codes, scale))
    assert torch.equal(again, codes) and torch.equal(second, scale)


@pytest.mark.parametrize("entry_format", ["fp16", "int8"])
def test_entry_bytes_count_every_stored_array(entry_format):
    stored = block(entry_format)
    stored.reserve(4)
    assert stored.resident_bytes() == 4 * entry_bytes(entry_format, 2, 3) == 4 * stored.entry_bytes


def test_reference_entry_sizes():
    bookkeeping = sum(dtype.itemsize for dtype, _ in METADATA.values())
    assert entry_bytes("fp16", 6, 32) == 2 * 384 + bookkeeping
    assert entry_bytes("int8", 6, 32) == 2 * 204 + bookkeeping


def test_unknown_format_is_named():
    with pytest.raises(ValueError, match="fp8"):
        entry_bytes("fp8", 1, 1)


def test_shared_out_budget_is_never_exceeded_and_hardly_wasted():
    for budget in (5_000, 33_333, 1_000_000):
        got = share_out(budget, 3, ["fp16", "int8"], 0.25, 2, 16)
        used = 3 * sum(n * entry_bytes(name, 2, 16) for name, n in got.items())
        assert used <= budget < used + 3 * entry_bytes("int8", 2, 16) + 3
    with pytest.raises(ValueError, match="holds no entry"):
        share_out(100, 3, ["fp16"], 0.25, 2, 16)


def test_exchange_keeps_the_top_of_the_union_and_moves_payload_with_metadata():
    generator = torch.Generator().manual_seed(2)
    stored, expected = block(capacity=5, batch=3), [[] for _ in range(3)]
    scores_of = torch.rand(100, generator=generator).double()
    for start in range(0, 40, 4):
        new = entries([[start + i for i in range(4)]] * 3)
        stored.reserve(4)
        now = scores_of[stored.data["position"].long().clamp_min(0)]
        after, leaving, left = exchange(stored, now, new, scores_of[new["position"].long()])
        expected = [
            sorted(row + list(range(start, start + 4)), key=lambda p: -scores_of[p])[:5] for row in expected
        ]
        data = stored.data
        for row in range(3):
            live = data["position"][0, row] >= 0
            assert sorted(data["position"][0, row][live].tolist()) == sorted(expected[row])
        tag = data["position"].float()
        live = stored.live
        assert bool((data["keys"].float() == tag[..., None, None])[live].all())
        assert bool((data["values"].float() == -tag[..., None, None])[live].all())
        assert bool((data["written"] == data["position"])[live].all())
        assert torch.equal(after[live], scores_of[data["position"].long()][live])
        gone = leaving["position"] >= 0
        assert bool((left[~gone] == -math.inf).all())
        assert bool((leaving["keys"][..., 0, 0].float() == leaving["position"])[gone].all())


def test_admitting_without_a_next_tier_keeps_the_same_and_counts_what_went():
    generator = torch.Generator().manual_seed(3)
    one, two = block(capacity=5, batch=3), block(capacity=5, batch=3)
    scores_of = torch.rand(100, generator=generator).double()
    gone = torch.zeros(1, 3, dtype=torch.int64)
    for start in range(0, 40, 4):
        new = entries([[start, start + 1, -1 if start == 8 else start + 2, start + 3]] * 3)
        arriving = scores_of[new["position"].long()].masked_fill(new["position"] < 0, -math.inf)
        for stored in (one, two):
            stored.reserve(4)
        now = [scores_of[x.data["position"].long().clamp_min(0)] for x in (one, two)]
        _, leaving, _ = exchange(one, now[0], new, arriving)
        went = admit_best(two, torch.cat([now[1], arriving], dim=2), new)
        assert torch.equal(went, (leaving["position"] >= 0).sum(dim=-1))
        gone += went
        assert one.top == two.top
        for name, x in one.data.items():
            assert torch.equal(x, two.data[name]), name
    assert gone.tolist() == [[34, 34, 34]]


def test_padding_never_enters_a_block():
    stored = block()
    stored.reserve(2)
    new = entries([[7, -1]])
    exchange(stored, torch.ones(1, 1, 2).double(), new, torch.tensor([[[1.0, -math.inf]]]).double())
    assert stored.data["position"].tolist() == [[[7, -1]]] and stored.top == 1


def test_block_without_capacity_passes_everything_on():
    stored = block(capacity=0)
    stored.reserve(2)
    _, leaving, left = exchange(
        stored, torch.ones(1, 1, 0).double(), entries([[3, 9]]), torch.tensor([[[1.0, 2.0]]]).double()
    )
    assert leaving["position"].tolist() == [[[9, 3]]] and left.tolist() == [[[2.0, 1.0]]]
