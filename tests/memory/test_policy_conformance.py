"""What every eviction policy must do; `pytest --policy my_module:MyPolicy` checks one of your own."""

from __future__ import annotations

import importlib
import re

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.memory import POLICIES, EpisodicStore, RetentionClassifier
from synapnet_edge.memory.scoring import RetainingHead
from synapnet_edge.models import SynapNetEdge

DIM, LAYERS = 32, 2
TIERS = [("fp16",), ("fp16", "int8", "summary")]


def make(name: str):
    """A policy by its registered name or module:Class, with weights where it needs some."""
    torch.manual_seed(0)
    if ":" in name:
        module, _, found = name.partition(":")
        return getattr(importlib.import_module(module), found)()
    options = {
        "locret": {"heads": torch.nn.ModuleList(RetainingHead(3 * DIM, 8) for _ in range(LAYERS))},
        "baee": {"classifier": RetentionClassifier(DIM)},
    }
    return POLICIES.get(name)(**options.get(name, {}))


def pytest_generate_tests(metafunc):
    if "policy" in metafunc.fixturenames:
        given = metafunc.config.getoption("--policy")
        # The oracle needs a recorded pass of the very rows; its own tests have one.
        metafunc.parametrize("policy", given or [name for name in POLICIES.names() if name != "oracle"])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=DIM, depth=LAYERS, heads=2, chunk_len=16, episodic_slots=4, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


@pytest.fixture(scope="module")
def ids():
    return torch.randint(5, 4096, (2, 116), generator=torch.Generator().manual_seed(1))


def stream(model, ids, policy, piece=116, **options):
    store = EpisodicStore(LAYERS, make(policy), **{"entries_per_layer": 8, **options})
    logits, _ = model.forward_streaming(ids, piece, baee_manager=store)
    return store, logits


def places(store):
    return store.held_positions().sort(dim=-1).values


@pytest.mark.parametrize("tiers", TIERS, ids="+".join)
def test_budget_holds_and_something_is_evicted(model, ids, policy, tiers):
    if len(tiers) > 1 and make(policy).layer_capacities(LAYERS, 40) != [40] * LAYERS:
        tiers = ("int8",)  # layers of unequal size have one tier
    store, _ = stream(model, ids, policy, entries_per_layer=None, budget_bytes=4000, tiers=tiers)
    assert int(store.bytes_used().max()) <= 4000
    assert store.debug()["evicted"] + store.debug()["merged"] > 0
    assert (store.live_entries() > 0).all()


def test_pieces_of_any_length_give_the_same_memory(model, ids, policy):
    (one, logits), (many, again) = stream(model, ids, policy), stream(model, ids, policy, piece=7)
    assert torch.equal(places(one), places(many))
    assert torch.allclose(logits, again, atol=1e-4)


def test_nothing_is_known_of_later_chunks(model, ids, policy):
    held = []
    for seed in (2, 3):
        row = ids.clone()
        row[:, 96:] = torch.randint(5, 4096, (2, 20), generator=torch.Generator().manual_seed(seed))
        store = EpisodicStore(LAYERS, make(policy), entries_per_layer=8)
        with torch.inference_mode():
            state = model.init_state(2, store=store)
            model.step(row[:, :96], state)
        held.append(places(store))
    assert torch.equal(*held)


def test_streams_of_a_batch_do_not_touch_each_other(model, ids, policy):
    if policy == "random":
        pytest.skip("draws one key per stream of the batch")
    both, _ = stream(model, ids, policy)
    alone, _ = stream(model, ids[1:], policy)
    assert torch.equal(places(both)[:, 1], places(alone)[:, 0])


def test_a_saved_stream_goes_on_with_the_same_numbers(model, ids, policy):
    with torch.inference_mode():
        first = EpisodicStore(LAYERS, make(policy), entries_per_layer=8)
        state = model.init_state(2, store=first)
        model.step(ids[:, :96], state)
        second = EpisodicStore(LAYERS, make(policy), entries_per_layer=8)
        second.load_state_dict({name: x.clone() for name, x in first.state_dict().items()})
        again = model.init_state(2, store=EpisodicStore(LAYERS, make(policy), entries_per_layer=8))
        model.step(ids[:, :96], again)
        again.store = second
        one, two = (model.step(ids[:, 96:], s)[0] for s in (state, again))
    assert torch.equal(one, two) and torch.equal(places(first), places(second))


def test_the_documented_example_runs_and_conforms(repository, model, ids):
    page = (repository / "docs" / "own_policy.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(example.splitlines()) < 50
    names: dict = {}
    try:
        exec(compile(example, "own_policy.md", "exec"), names)
        assert names["held"] == [2, 3]
        store, _ = stream(model, ids, "keydiff")
        assert (store.live_entries() == 8).all()
    finally:
        POLICIES._items.pop("keydiff", None)
