"""Pure retention scores against numbers worked out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synapnet_edge.memory.scoring import (
    QueryMoments,
    RetainingHead,
    expected_attention,
    h2o,
    keep_indices,
    knorm,
    locret_labels,
    locret_loss,
    low_counts,
    protect_recent,
    pyramid_budgets,
    scissorhands,
    snapkv,
    snapkv_votes,
    tova,
)
from synapnet_edge.memory.scoring.locret import load_heads, save_heads


def kept(scores, capacity):
    return keep_indices(scores, capacity).tolist()


def test_h2o_keeps_heavy_hitters_and_the_recent():
    sums = torch.tensor([0.1, 3.0, 0.2, 2.0, 0.1, 0.1])
    assert kept(h2o(sums, 2), 4) == [1, 3, 4, 5]
    assert kept(h2o(sums, 0), 2) == [1, 3]
    # The mean takes the early keys' advantage away.
    assert kept(h2o(sums, 0, observers=torch.tensor([6, 30, 4, 3, 2, 1])), 2) == [3, 5]


def test_h2o_differs_by_head_and_reads_positions():
    sums = torch.tensor([[0.0, 5.0, 1.0, 1.0], [4.0, 0.0, 1.0, 1.0]])
    assert kept(h2o(sums, 1), 2) == [[1, 3], [0, 3]]
    assert kept(h2o(sums[0], 1, position=torch.tensor([9, 1, 2, 3])), 2) == [0, 1]


def test_a_window_that_does_not_fit_keeps_its_newest():
    assert kept(protect_recent(torch.tensor([9.0, 0.0, 0.0, 0.0]), 3), 2) == [2, 3]
    dead = torch.tensor([True, True, False, False])
    assert kept(protect_recent(torch.tensor([9.0, 0.0, 7.0, 7.0]), 1, live=dead), 1) == [1]


def test_scissorhands_counts_low_weights_and_not_their_sizes():
    # Key 0 has one spike, key 1 is steadily at an even share, key 2 is always low.
    rows = torch.tensor([[0.9, 0.05, 0.05], [0.1, 0.5, 0.4], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3]])
    low = low_counts(rows, torch.full((4,), 3))
    assert low.tolist() == [3, 1, 3]
    assert low_counts(rows, torch.full((4,), 3), torch.ones(4, 3).tril() > 0).tolist() == [3, 0, 2]
    assert kept(scissorhands(low, 0), 1) == [1]
    assert kept(h2o(rows.sum(0), 0), 1) == [1] and rows.sum(0)[0] > rows.sum(0)[2]
    assert kept(scissorhands(low, 0), 2) == [1, 2]  # equal counts: the newer; the sum would keep key 0


def test_scissorhands_forgets_a_spike_outside_of_its_history():
    rows = torch.full((6, 4), 0.1)
    rows[0, 1] = 0.7
    seen = torch.full((6,), 4)
    assert kept(scissorhands(low_counts(rows, seen), 1), 2) == [1, 3]
    assert kept(scissorhands(low_counts(rows[1:], seen[1:]), 1), 2) == [2, 3]


def test_snapkv_pools_votes_so_that_neighbours_of_a_hit_survive():
    rows = torch.zeros(2, 8)
    rows[:, 2] = 0.5
    rows[0, 5] = 0.2
    votes = snapkv_votes(rows)
    assert kept(snapkv(votes, 2, kernel=3), 5) == [1, 2, 3, 6, 7]
    assert kept(snapkv(votes, 2, kernel=1), 4) == [2, 5, 6, 7]
    # Slots in another order choose the same tokens.
    order = torch.tensor([5, 0, 7, 2, 1, 6, 3, 4])
    there = snapkv(votes[order], 2, kernel=3, position=order)
    assert sorted(order[keep_indices(there, 5)].tolist()) == [1, 2, 3, 6, 7]


def test_snapkv_pool_does_not_lend_the_windows_votes_to_what_stands_before():
    votes = torch.tensor([0.1, 0.0, 0.0, 9.0])
    assert kept(snapkv(votes, 1, kernel=3), 2) == [0, 3]


def test_snapkv_that_has_room_for_everything_keeps_everything():
    assert kept(snapkv(torch.rand(5), 2), 7) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="odd kernel"):
        snapkv(torch.rand(5), 2, kernel=4)


@given(
    layers=st.integers(1, 40),
    window=st.integers(0, 32),
    extra=st.integers(0, 300),
    beta=st.floats(1, 50),
    length=st.one_of(st.none(), st.integers(1, 4000)),
)
def test_pyramid_budgets_sum_exactly_and_fall(layers, window, extra, beta, length):
    capacity = window + extra
    budgets = pyramid_budgets(layers, capacity, window=window, beta=beta, length=length)
    assert sum(budgets) == layers * capacity
    assert min(budgets) >= window
    assert all(a >= b for a, b in zip(budgets, budgets[1:], strict=False))


def test_pyramid_of_the_published_trap():
    budgets = pyramid_budgets(32, 128, window=8)
    assert sum(budgets) - 32 * 8 == 3840  # rounding the step down gives 4016
    assert budgets[0] > 128 > budgets[-1]
    assert pyramid_budgets(6, 64, window=8, length=100) == [64] * 6


def test_locret_label_is_the_largest_logit_and_the_loss_smooths():
    logits = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    assert locret_labels(logits).tolist() == [1.0, 3.0]
    flat = torch.tensor([1.0, 1.0, 1.0])
    assert float(locret_loss(flat, flat)) == 0.0
    steep = torch.tensor([0.0, 2.0, 0.0])
    assert float(locret_loss(steep, steep, 0.5)) == pytest.approx(2.0)


def test_locret_head_has_no_bias_and_its_file_reads_back(tmp_path):
    torch.manual_seed(0)
    heads = torch.nn.ModuleList(RetainingHead(12, 8) for _ in range(2))
    assert sum(p.numel() for p in heads[0].parameters()) == 12 * 8 + 8
    assert not heads[0](*torch.zeros(3, 5, 4)).any()
    save_heads(tmp_path / "h.safetensors", heads)
    parts = torch.randn(3, 5, 4)
    assert torch.equal(load_heads(tmp_path / "h.safetensors")[1](*parts), heads[1](*parts))


def test_knorm_and_tova():
    assert knorm(torch.tensor([[3.0, 4.0], [1.0, 0.0]])).tolist() == [-5.0, -1.0]
    assert tova(torch.tensor([[0.2, 0.8], [0.6, 0.4]])).tolist() == pytest.approx([0.4, 0.6])


def test_expected_attention_of_fixed_and_of_spread_queries():
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    mean = torch.tensor([1.0, 0.0])
    fixed = expected_attention(keys, values, mean)
    shares = torch.tensor([1.0, 0.0]).softmax(0)
    assert fixed.tolist() == pytest.approx([float(shares[0]), 2 * float(shares[1])])
    # Queries that vary along the second key's direction: E exp(k.q) has the exponent S/2 = 1.5 there.
    spread = expected_attention(keys, values, mean, torch.diag(torch.tensor([0.0, 3.0])))
    shares = torch.tensor([1.0, 1.5]).softmax(0)
    assert spread.tolist() == pytest.approx([float(shares[0]), 2 * float(shares[1])])


def test_query_moments_of_blocks_equal_those_of_all():
    queries = torch.randn(2, 3, 40, 4, generator=torch.Generator().manual_seed(0))
    moments = QueryMoments((2, 3), 4)
    for part in queries.split([7, 1, 32], dim=2):
        moments.add(part)
    assert torch.allclose(moments.mean, queries.mean(dim=2), atol=1e-6)
    centred = queries - queries.mean(dim=2, keepdim=True)
    assert torch.allclose(moments.covariance, centred.transpose(-1, -2) @ centred / 40, atol=1e-5)
