"""The policies that need attention or queries, on traces worked out by hand."""

import itertools

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.memory import POLICIES, EpisodicStore, ReadTrace
from synapnet_edge.memory.policies.expected_attention import ExpectedAttentionPolicy
from synapnet_edge.memory.policies.h2o import H2OPolicy
from synapnet_edge.memory.policies.locret import LocretPolicy
from synapnet_edge.memory.policies.pyramidkv import PyramidKVPolicy
from synapnet_edge.memory.policies.scissorhands import ScissorhandsPolicy
from synapnet_edge.memory.policies.snapkv import SnapKVPolicy
from synapnet_edge.memory.scoring import RetainingHead
from synapnet_edge.models import SynapNetEdge

WIDTH = 4


def every_query(length, shares):
    return [shares] * length


def test_h2o_keeps_heavy_hitters_and_the_recent_half(attended, held):
    # Capacity 4: two recent places. Token 1 is read in its own chunk already, token 2 a lot, token 0 little.
    rows = {0: every_query(4, {1: 0.3}), 1: every_query(4, {2: 0.5, 0: 0.1})}
    assert held(attended("h2o", 4, 2, 4, rows)) == [1, 2, 6, 7]
    # What was dropped cannot come back, however much it would be read.
    rows[2] = every_query(4, {0: 0.9, 6: 0.6})
    assert held(attended("h2o", 4, 3, 4, rows)) == [2, 6, 10, 11]


def test_h2o_adds_up_over_chunks_and_is_not_the_order_of_salience(attended, held):
    rows = {c: every_query(4, {1: 0.2}) for c in range(1, 4)} | {3: every_query(4, {1: 0.2, 12: 0.5})}
    salience = {p: -0.1 for p in (0, 2, 3)} | {1: -9.0}
    assert 1 in held(attended(H2OPolicy(0.25), 4, 4, 4, rows, salience=salience))
    assert 1 not in held(attended("salience", 4, 4, 4, rows, salience=salience))


def test_scissorhands_keeps_what_is_read_steadily_not_what_is_read_once(attended, held):
    # Query by query: 0 gets an even share always, 1 one huge spike, 2 and 3 nothing.
    steady = {1: [{0: 0.4, 1: 0.6}] + [{0: 0.4}] * 3}
    policy = ScissorhandsPolicy(history=1, recent=0, drop_share=0.0)
    assert 0 in held(attended(policy, 5, 2, 4, steady))
    low = (
        attended(ScissorhandsPolicy(history=1, recent=0), 8, 2, 4, steady).blocks[0].data["note"][0, 0, :4, 0]
    )
    assert low.tolist() == [0.0, 3.0, 4.0, 4.0]


def test_scissorhands_spike_counts_inside_of_the_history_and_not_outside(attended):
    rows = {1: every_query(4, {0: 0.5}), 2: every_query(4, {})}
    count = [
        attended(ScissorhandsPolicy(history=h, recent=0), 12, 3, 4, rows)
        .blocks[0]
        .data["note"][0, 0, :2]
        .sum(-1)
        for h in (1, 2)
    ]
    assert count[0].tolist() == [4.0, 4.0]  # the last chunk alone: both low
    assert count[1].tolist() == [4.0, 8.0]  # two chunks: the spike still counts


def test_scissorhands_drops_half_of_the_capacity_in_one_go(attended, held):
    store = attended(ScissorhandsPolicy(recent=1), 8, 2, 4)
    assert len(held(store)) == 8
    store = attended(ScissorhandsPolicy(recent=1), 8, 3, 4)
    assert len(held(store)) == 4 and held(store)[-1] == 11
    assert int(store.evicted.sum()) == 8


def test_snapkv_votes_of_the_last_queries_only_and_neighbours_survive(attended, held):
    policy = SnapKVPolicy(queries=2, kernel=3)
    early = {1: [{0: 0.9}, {0: 0.9}, {3: 0.5}, {3: 0.5}]}
    # Capacity 6: a window of one (a quarter of 6), 3 with its neighbours 2 and 4; votes for 0 are too old.
    kept = held(attended(policy, 6, 2, 4, early))
    assert {2, 3, 4, 7} <= set(kept) and len(kept) == 6


def test_pyramidkv_gives_lower_layers_more_and_keeps_the_bytes(attended, held):
    policy = PyramidKVPolicy(queries=2)
    store = attended(policy, 12, 8, 4, layers=3)
    sizes = [len(held(store, layer)) for layer in range(3)]
    assert sizes == policy.layer_capacities(3, 12) and sum(sizes) == 36
    assert sizes[0] > sizes[1] > sizes[2]
    assert int(store.bytes_used().max()) <= store.budget


def test_tova_keeps_what_the_very_last_query_read(attended, held):
    rows = {1: [{0: 0.9}, {0: 0.9}, {0: 0.9}, {2: 0.4, 5: 0.3, 1: 0.2}]}
    assert held(attended("tova", 3, 2, 4, rows)) == [1, 2, 5]


def test_knorm_keeps_small_keys(attended, held):
    keys = {p: [float(1 + (p * 3) % 8), 0.0, 0.0, 0.0] for p in range(8)}  # 1 4 7 2 5 8 3 6
    assert held(attended("knorm", 3, 2, 4, keys=keys)) == [0, 3, 6]


def test_expected_attention_follows_the_queries_seen(attended, held):
    axes = torch.eye(WIDTH).tolist()
    keys = {p: axes[p % 4] for p in range(8)}
    values = {p: [1.0, 0.0, 0.0, 0.0] for p in range(8)} | {6: [9.0, 0.0, 0.0, 0.0]}
    policy = ExpectedAttentionPolicy(sinks=0)
    assert held(attended(policy, 2, 2, 4, keys=keys, values=values, queries=[0.0, 8.0, 0.0, 0.0])) == [1, 5]
    # A large value is worth reading even at a small probability; sinks stay whatever they score.
    policy = ExpectedAttentionPolicy(sinks=1)
    kept = held(attended(policy, 3, 2, 4, keys=keys, values=values, queries=[0.0, 1.0, 0.0, 0.0]))
    assert kept == [0, 1, 6]  # 1 and 5 are equal: the stored entry stays
    assert policy.state_bytes() == 4 * (WIDTH + WIDTH**2)


class _Planted(torch.nn.Module):
    """Scores a token by the first channel of its key: known without training."""

    def forward(self, queries, keys, values):
        return keys[..., :1]


def test_locret_scores_once_at_the_write_and_keeps_stabilisers(attended, held):
    heads = torch.nn.ModuleList([_Planted()])
    keys = {p: [float((p * 5) % 8), 0.0, 0.0, 0.0] for p in range(8)}  # 0 5 2 7 4 1 6 3
    assert held(attended(LocretPolicy(heads, 0.0), 3, 2, 4, keys=keys)) == [1, 3, 6]
    assert held(attended(LocretPolicy(heads, 0.67), 3, 2, 4, keys=keys)) == [3, 6, 7]
    with pytest.raises(ValueError, match="trained heads"):
        EpisodicStore(1, "locret", entries_per_layer=2)


def test_locret_sees_the_query_of_the_very_token():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, queries, keys, values):
            seen.append(queries)
            return keys[..., :1]

    store = EpisodicStore(1, LocretPolicy(torch.nn.ModuleList([Spy()])), entries_per_layer=9)
    for chunk in range(2):
        spelled = torch.arange(4.0).view(1, 1, 4, 1).expand(-1, -1, -1, WIDTH) + 4 * chunk
        for piece in (spelled[:, :, :3], spelled[:, :, 3:]):
            store.observe_queries(0, piece)
        positions = torch.tensor([[4 * chunk + 1, 4 * chunk + 3]])
        store.write(0, *torch.ones(2, 1, 1, 2, WIDTH), torch.zeros(1, 2), positions)
        store.end_chunk()
    assert [x[0, :, 0].tolist() for x in seen] == [[1.0, 3.0], [5.0, 7.0]]


def every_policy(name, trace, layers=1, width=WIDTH):
    """One policy of each name, with what it needs."""
    torch.manual_seed(0)
    heads = torch.nn.ModuleList(RetainingHead(3 * width, 8) for _ in range(layers))
    options = {"oracle": {"trace": trace}, "locret": {"heads": heads}}
    return POLICIES.get(name)(**options.get(name, {}))


def test_all_policies_differ_on_one_trace(attended, held):
    chunks, length = 8, 8
    generator = torch.Generator().manual_seed(3)
    rows = {}
    for chunk in range(chunks):
        share = torch.rand(length, (chunk + 1) * length, generator=generator) ** 6
        share /= share.sum(dim=1, keepdim=True) * 1.2
        rows[chunk] = [dict(enumerate(row.tolist())) for row in share]
    salience = {p: -0.05 * ((p * 7) % 64) for p in range(64)}
    future = torch.zeros(chunks, 2, 1, 64)
    future[7, :, 0, [3, 17, 33, 49, 5, 50, 51, 52, 20, 21, 22, 40]] = 1.0
    trace = ReadTrace(future, torch.arange(64).expand(2, 1, -1), torch.arange(64) // length)
    names = POLICIES.names()
    kept = {}
    for name in names:
        policy = every_policy(name, trace, layers=2)
        store = attended(policy, 12, chunks, length, rows, salience=salience, layers=2)
        kept[name] = [(layer, p) for layer in range(2) for p in held(store, layer)]
    for first, second in itertools.combinations(names, 2):
        shared = len(set(kept[first]) & set(kept[second]))
        assert kept[first] != kept[second], (first, second)
        assert shared / (48 - shared) < 0.9, (first, second)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=2, heads=2, chunk_len=16, episodic_slots=4, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


@pytest.mark.parametrize("name", [name for name in POLICIES.names() if name != "oracle"])
def test_statistics_from_the_models_reads_do_not_depend_on_the_pieces(model, name):
    ids = torch.randint(5, 4096, (2, 100), generator=torch.Generator().manual_seed(1))
    results = []
    for piece in (1, 7, 100):
        store = EpisodicStore(2, every_policy(name, None, 2, 32), entries_per_layer=8)
        logits, _ = model.forward_streaming(ids, piece, baee_manager=store)
        results.append((logits, store.held_positions().sort(dim=-1).values))
    for logits, positions in results[1:]:
        assert torch.allclose(logits, results[0][0], atol=1e-4)
        assert torch.equal(positions, results[0][1])


@pytest.mark.parametrize("name", ["h2o", "scissorhands", "snapkv", "pyramidkv", "tova", "expected_attention"])
def test_a_saved_stream_goes_on_with_the_same_numbers(model, name):
    ids = torch.randint(5, 4096, (1, 160), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        first = EpisodicStore(2, name, entries_per_layer=8)
        state = model.init_state(1, store=first)
        model.step(ids[:, :96], state)
        saved = {key: x.clone() for key, x in first.state_dict().items()}
        one, _ = model.step(ids[:, 96:], state)
        second = EpisodicStore(2, name, entries_per_layer=8)
        second.load_state_dict(saved)
        again = model.init_state(1, store=EpisodicStore(2, name, entries_per_layer=8))
        model.step(ids[:, :96], again)
        again.store = second
        two, _ = model.step(ids[:, 96:], again)
    assert torch.equal(one, two)
    assert torch.equal(first.held_positions(), second.held_positions())


def test_the_collected_column_sums_are_those_of_the_whole_matrix(model):
    """Mass of an entry = what its own chunk's queries gave it, plus what later chunks' did."""
    seen = []

    class Spy(H2OPolicy):
        def score(self, state):
            seen.append(state)
            return super().score(state)

    ids = torch.randint(5, 4096, (1, 80), generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        model.forward_streaming(ids, 80, baee_manager=EpisodicStore(2, Spy(), entries_per_layer=16))
    state = seen[0]
    assert float(state.mass[state.live].min()) > 0.0  # every entry was read by someone, newcomers included
