"""The store: budget, visibility, tiers, saving; with random operations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.memory import POLICIES, BAEEMemoryManager, EpisodicStore
from synapnet_edge.memory.tiers import METADATA, entry_bytes
from synapnet_edge.models import SynapNetEdge, UnboundedStore

HEADS, WIDTH = 2, 4
# the future, trained heads, the model's queries, arrays as wide as the largest layer
_NEED_MORE = {"oracle", "locret", "expected_attention", "pyramidkv"}
ALL_TIERS = [("fp16",), ("int8",), ("fp16", "int8"), ("int8", "summary"), ("fp16", "int8", "summary")]


def write_chunk(store, generator, layers, batch, count, start, alike=False):
    """Write `count` entries in every layer; values spell their position, keys may be nearly equal."""
    for layer in range(layers):
        keys = torch.randn(batch, HEADS, count, WIDTH, generator=generator)
        if alike:
            keys = torch.ones_like(keys) + 0.05 * keys
        positions = start + torch.arange(count).expand(batch, -1)
        values = positions[:, None, :, None].float().expand(batch, HEADS, -1, WIDTH) + 1.0
        log_salience = -torch.rand(batch, count, generator=generator)
        store.write(layer, keys, values, log_salience, positions)


def read_all(store, generator, layers):
    for layer in range(layers):
        view = store.read(layer)
        if view is not None:
            mass = torch.rand(view.bias.shape, generator=generator) * torch.isfinite(view.bias)
            store.observe_read(layer, mass)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=2, heads=2, chunk_len=16, episodic_slots=4, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


@pytest.fixture(scope="module")
def ids():
    return torch.randint(5, 4096, (2, 100), generator=torch.Generator().manual_seed(1))


@settings(deadline=None, max_examples=25)
@given(
    tiers=st.sampled_from(ALL_TIERS),
    policy=st.sampled_from([name for name in POLICIES.names() if name not in _NEED_MORE]),
    budget=st.integers(600, 6000),
    counts=st.lists(st.integers(0, 7), min_size=1, max_size=8),
    alike=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_bytes_never_exceed_the_budget_and_entries_stay_whole(tiers, policy, budget, counts, alike, seed):
    generator = torch.Generator().manual_seed(seed)
    store = EpisodicStore(2, policy, budget_bytes=budget, tiers=tiers)
    position = 0
    for count in counts:
        read_all(store, generator, 2)
        if count:
            write_chunk(store, generator, 2, 3, count, position, alike)
            assert int(store.bytes_used().max()) <= budget
        store.end_chunk()
        position += count
        assert int(store.bytes_used().max()) <= budget
        assert store.resident_bytes() <= 3 * budget
    if not store.blocks:
        return
    written = 2 * 3 * position
    represented = sum(float(block.data["count"].sum()) for block in store.blocks)
    assert represented + int(store.evicted.sum()) <= written + 1e-6
    for layer in range(2):
        view = store.read(layer)
        held = store.held_positions()[layer]
        single = torch.cat([b.data["count"][layer, :, : b.top] for b in store.blocks], dim=1) == 1
        spelled = view.values[:, 0, :, 0] - 1.0
        close = (spelled - held).abs() <= 0.51 * (held + 1) / 127 + 1e-2
        assert bool(close[single].all())
        assert bool((torch.isfinite(view.bias) == (held >= 0)).all())


def test_entries_become_readable_only_at_the_end_of_their_chunk():
    store = EpisodicStore(2, "fifo", entries_per_layer=8)
    generator = torch.Generator().manual_seed(0)
    write_chunk(store, generator, 2, 1, 3, 0)
    assert store.read(0) is None and store.staging_bytes() > 0
    store.end_chunk()
    assert store.read(1).keys.shape[2] == 3 and store.staging_bytes() == 0
    write_chunk(store, generator, 1, 1, 3, 3)
    assert store.read(0).keys.shape[2] == 3


def test_layers_that_wrote_less_and_padded_entries_leave_no_trace():
    store = EpisodicStore(2, "fifo", entries_per_layer=8)
    keys = torch.ones(1, HEADS, 2, WIDTH)
    store.write(0, keys, keys, torch.tensor([[-1.0, -math.inf]]), torch.tensor([[4, 5]]))
    store.end_chunk()
    assert store.live_entries().tolist() == [[1], [0]]
    assert store.read(0).count.tolist() == [1.0] and store.read(1).count.tolist() == [0.0]


@pytest.mark.parametrize("tiers", ALL_TIERS)
def test_arrays_do_not_grow_with_the_stream(tiers):
    store = EpisodicStore(2, "fifo", budget_bytes=8000, tiers=tiers)
    generator = torch.Generator().manual_seed(0)
    sizes = []
    for chunk in range(60):
        write_chunk(store, generator, 2, 2, 6, 6 * chunk)
        store.end_chunk()
        sizes.append(store.resident_bytes())
    assert sizes[-1] == sizes[20] <= 2 * 8000


def test_rows_are_independent():
    generator = torch.Generator().manual_seed(3)
    stores = [EpisodicStore(1, "lru", entries_per_layer=5) for _ in range(3)]
    for chunk in range(5):
        keys, values = torch.randn(2, 2, HEADS, 3, WIDTH, generator=generator)
        log_salience = -torch.rand(2, 3, generator=generator)
        positions = torch.arange(3 * chunk, 3 * chunk + 3).expand(2, -1)
        slots = 0 if stores[0].read(0) is None else stores[0].read(0).bias.shape[1]
        mass = torch.rand(2, slots, generator=generator)
        for store, rows in zip(stores, (slice(0, 2), slice(0, 1), slice(1, 2)), strict=True):
            if slots:
                store.observe_read(0, mass[rows])
            store.write(0, keys[rows], values[rows], log_salience[rows], positions[rows])
            store.end_chunk()
    both = stores[0].read(0)
    for row, store in enumerate(stores[1:]):
        assert torch.equal(both.keys[row], store.read(0).keys[0])
        assert torch.equal(both.bias[row], store.read(0).bias[0])


@pytest.mark.parametrize("tiers", ALL_TIERS)
@pytest.mark.parametrize("policy", ["random", "baee", "lru"])
def test_a_saved_stream_continues_with_the_same_numbers(tiers, policy):
    def stream(store, first, last):
        generator = torch.Generator().manual_seed(first)
        for chunk in range(first, last):
            read_all(store, generator, 2)
            write_chunk(store, generator, 2, 2, 4, 4 * chunk)
            store.end_chunk()
        return [store.read(layer) for layer in range(2)]

    one = EpisodicStore(2, policy, budget_bytes=4000, tiers=tiers)
    stream(one, 0, 5)
    two = EpisodicStore(2, policy, budget_bytes=4000, tiers=tiers)
    two.load_state_dict({name: x.clone() for name, x in one.state_dict().items()})
    for a, b in zip(stream(one, 5, 9), stream(two, 5, 9), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert one.debug()["evicted"] == two.debug()["evicted"]


def test_saved_stream_of_another_budget_or_format_is_refused():
    store = EpisodicStore(1, "fifo", budget_bytes=2000)
    generator = torch.Generator().manual_seed(0)
    write_chunk(store, generator, 1, 1, 3, 0)
    with pytest.raises(ValueError, match="end_chunk"):
        store.state_dict()
    store.end_chunk()
    with pytest.raises(ValueError, match="budget of 2000"):
        EpisodicStore(1, "fifo", budget_bytes=3000).load_state_dict(store.state_dict())
    with pytest.raises(ValueError, match="other tiers"):
        EpisodicStore(1, "fifo", budget_bytes=2000, tiers=("int8",)).load_state_dict(store.state_dict())


def attend(view, query):
    logits = (view.keys[0, 0] @ query) + view.bias[0]
    return torch.logsumexp(logits, 0), logits.softmax(0) @ view.values[0, 0]


def test_a_summary_of_equal_keys_reads_like_its_members():
    generator = torch.Generator().manual_seed(5)
    key, query = torch.randn(WIDTH, generator=generator), torch.randn(WIDTH, generator=generator)
    values = torch.randn(1, 1, 3, WIDTH, generator=generator)
    log_salience = torch.tensor([[-0.2, -1.5, -0.7]])
    positions = torch.tensor([[0, 1, 2]])
    keys = key.expand(1, 1, 3, WIDTH)
    reference = UnboundedStore()
    reference.write(0, keys, values, log_salience, positions)
    store = EpisodicStore(1, "fifo", entries_per_layer=1, tiers=("int8", "summary"))
    store.write(0, keys, values, log_salience, positions)
    store.end_chunk()
    assert store.live_entries().item() == 1 and store.debug()["entries_by_tier"]["summary"] == 1
    assert store.read(0).count.item() == 3.0
    (mass, out), (expected_mass, expected) = attend(store.read(0), query), attend(reference.read(0), query)
    assert abs(float(mass - expected_mass)) < 0.02
    assert torch.allclose(out, expected, atol=0.02)


def test_unlike_entries_are_evicted_not_merged():
    store = EpisodicStore(1, "fifo", entries_per_layer=1, tiers=("int8", "summary"))
    keys = torch.eye(WIDTH)[None, None, :3]
    store.write(0, keys, keys, torch.zeros(1, 3), torch.tensor([[0, 1, 2]]))
    store.end_chunk()
    assert store.read(0).count.item() == 1.0 and store.evicted.item() == 2 and store.merged.item() == 0


def test_promotion_needs_the_high_mark_and_moves_at_most_max_moves():
    class Chosen(POLICIES.get("fifo")):
        """Fixed scores by position."""

        scores = {}

        def score(self, state):
            return torch.tensor([[[self.scores.get(int(p), 0.0) for p in state.position[0, 0]]]]).double()

    policy = Chosen()
    size = {name: entry_bytes(name, HEADS, WIDTH) for name in ("fp16", "int8")}
    budget = 4 * size["fp16"] + 6 * size["int8"]
    share = (4 * size["fp16"] + 0.5) / budget
    store = EpisodicStore(
        1, policy, budget_bytes=budget, tiers=("fp16", "int8"), hot_share=share, max_moves=1
    )
    policy.scores = {p: 10.0 - p for p in range(8)}
    generator = torch.Generator().manual_seed(0)
    write_chunk(store, generator, 1, 1, 8, 0)
    store.end_chunk()

    def hot():
        return sorted(store.blocks[0].data["position"].flatten().tolist())

    assert hot() == [0, 1, 2, 3]
    policy.scores |= {6: 7.5, 100: -1.0}  # above the lowest hot entry, below the high mark
    write_chunk(store, generator, 1, 1, 1, 100)
    store.end_chunk()
    assert hot() == [0, 1, 2, 3]
    policy.scores |= {6: 20.0, 7: 19.0, 101: -2.0}
    write_chunk(store, generator, 1, 1, 1, 101)
    store.end_chunk()
    assert hot() == [0, 1, 2, 6]
    assert int(store.bytes_used()) <= budget


def test_wrong_shapes_and_options_are_named():
    with pytest.raises(ValueError, match="exactly one"):
        EpisodicStore(1, "fifo")
    with pytest.raises(ValueError, match="tiers"):
        EpisodicStore(1, "fifo", entries_per_layer=2, tiers=("int8", "fp16"))
    store = EpisodicStore(1, "fifo", entries_per_layer=2)
    keys = torch.ones(1, HEADS, 2, WIDTH)
    with pytest.raises(ValueError, match="expected, got"):
        store.write(0, keys, keys, torch.zeros(1, 3), torch.zeros(1, 2).long())
    store.write(0, keys, keys, torch.zeros(1, 2), torch.zeros(1, 2).long())
    store.end_chunk()
    with pytest.raises(ValueError, match="shows 2 slots"):
        store.observe_read(0, torch.zeros(1, 5))
    with pytest.raises(ValueError, match="streams, heads, width"):
        store.write(0, keys[:, :1], keys[:, :1], torch.zeros(1, 2), torch.zeros(1, 2).long())


def test_enough_budget_gives_the_results_of_unlimited_memory(model, ids):
    expected, _ = model.forward_streaming(ids, 40)
    for tiers, tolerance in ((("fp16",), 2e-3), (("int8",), 2e-2), (("fp16", "int8", "summary"), 2e-3)):
        store = EpisodicStore(2, "fifo", entries_per_layer=100, tiers=tiers)
        got, _ = model.forward_streaming(ids, 40, baee_manager=store)
        assert float((got - expected).abs().max()) < tolerance
        assert store.debug()["evicted"] == 0


@pytest.mark.parametrize("policy", ["lru", "baee", "streaming_llm"])
def test_pieces_of_any_length_give_the_same_memory_and_logits(model, ids, policy):
    results = []
    for piece in (1, 7, 100):
        store = EpisodicStore(2, policy, entries_per_layer=6)
        logits, _ = model.forward_streaming(ids, piece, baee_manager=store)
        results.append((logits, store.held_positions()))
    for logits, held in results[1:]:
        assert torch.allclose(logits, results[0][0], atol=1e-4)
        assert torch.equal(held, results[0][1])


def test_manager_reports_its_ledger_and_keeps_its_budget(model, ids):
    manager = BAEEMemoryManager(32, 2, budget_mb=0.003, heads=2)
    _, debug = model.forward_streaming(ids, 30, baee_manager=manager)
    ledger = debug["memory"]
    assert ledger["bytes"] <= ledger["budget_bytes"] == int(0.003 * 2**20)
    # By tier the ledger shows the fullest stream, which need not be the same one for each.
    assert sum(ledger["bytes_by_tier"].values()) >= ledger["bytes"]
    assert ledger["evicted"] + ledger["merged"] > 0
    assert "no classifier" in ledger["policy"] and "no classifier" in repr(manager)


def test_manager_of_a_large_budget_costs_little_before_it_is_used(model, ids):
    manager = BAEEMemoryManager(32, 2)
    _, debug = model.forward_streaming(ids, 100, baee_manager=manager)
    assert debug["memory"]["budget_bytes"] == 256 * 2**20
    assert debug["memory"]["resident_bytes"] < 2**20


def test_manager_refuses_a_model_of_other_sizes(model, ids):
    with pytest.raises(ValueError, match="dim 64"):
        model.forward_streaming(ids, 50, baee_manager=BAEEMemoryManager(64, 2))


def test_metadata_is_part_of_the_ledger():
    store = EpisodicStore(1, "fifo", entries_per_layer=3)
    write_chunk(store, torch.Generator().manual_seed(0), 1, 1, 3, 0)
    store.end_chunk()
    payload = 2 * 2 * HEADS * WIDTH
    bookkeeping = sum(dtype.itemsize for dtype, _ in METADATA.values())
    assert store.bytes_used().tolist() == [3 * (payload + bookkeeping)]
