"""Reads of entries where they lie: the same as reading a decoded copy, in every format, shape and mode."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.evaluation.fork import fork
from synapnet_edge.memory import EpisodicStore
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.models.attend import attend_observed, softmax_parts


def filled(tiers, heads, width, entries, batch=2, chunks=5, seed=0):
    """A store of two layers, with empty slots where a layer has none left."""
    store = EpisodicStore(2, "knorm", entries_per_layer=entries, tiers=tiers)
    generator = torch.Generator().manual_seed(seed)
    for chunk in range(chunks):
        for layer in range(2):
            keys, values = torch.randn(2, batch, heads, 40, width, generator=generator)
            salience = -torch.rand(batch, 40, generator=generator)
            salience[0, : 3 * layer] = -torch.inf  # padding: one stream has fewer
            store.write(layer, keys, values, salience, 40 * chunk + torch.arange(40).expand(batch, -1))
        store.end_chunk()
    return store


def both(store, length, seed=1):
    """Read and mass of a copy and in place, after five other keys."""
    (batch, heads, width), layer = store.sizes, 1
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, heads, length, width, generator=generator) / width**0.25
    keys, values = torch.randn(2, batch, heads, 5, width, generator=generator)
    view, entries = store.read(layer), store.in_place(layer)
    shown = view.bias.shape[1]
    bias = torch.cat([view.bias, torch.zeros(batch, 5)], dim=1)[:, None, None].expand(-1, 1, length, -1)
    copy, mass = attend_observed(
        query, torch.cat([view.keys, keys], 2), torch.cat([view.values, values], 2), bias
    )
    parts = softmax_parts(query @ keys.transpose(-1, -2), values)
    before = [x.clone() for x in parts]
    read, found = entries.attend(query, *parts, True)
    assert all(map(torch.equal, parts, before))  # what it was given is left alone
    assert torch.equal(entries.attend(query, *parts, False)[0], read)
    torch.testing.assert_close(entries.count, view.count)
    return (copy, mass[:, :shown]), (read, found)


@settings(max_examples=30, deadline=None)
@given(
    tiers=st.sampled_from([("fp16",), ("int8",), ("fp16", "int8"), ("fp16", "int8", "summary")]),
    heads=st.integers(1, 3),
    width=st.integers(1, 40),
    length=st.integers(1, 11),
    entries=st.integers(2, 150),
)
def test_in_place_is_the_read_of_a_copy(tiers, heads, width, length, entries):
    copy, read = both(filled(tiers, heads, width, entries), length)
    for expected, found in zip(copy, read, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_a_query_does_not_depend_on_its_company_and_threads_change_no_bit():
    store = filled(("int8",), 3, 20, 120, batch=1)
    entries, query = store.in_place(0), torch.randn(1, 3, 9, 20)
    parts = softmax_parts(torch.randn(1, 3, 9, 4), torch.randn(1, 3, 4, 20))
    whole, mass = entries.attend(query, *parts, True)
    alone = [
        entries.attend(query[:, :, t : t + 1], *(x[:, :, t : t + 1] for x in parts), False)[0]
        for t in range(9)
    ]
    assert torch.equal(torch.cat(alone, dim=2), whole)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        shared, shared_mass = entries.attend(query, *parts, True)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(shared, whole)
    torch.testing.assert_close(shared_mass, mass)


def test_logits_far_apart_stay_finite():
    """A running softmax must not overflow when a later entry is far above all before, nor below."""
    store = filled(("fp16",), 1, 8, 100, batch=1)
    query = 60 * torch.randn(1, 1, 6, 8, generator=torch.Generator().manual_seed(2))
    for level in (-3000.0, 3000.0):
        parts = torch.full((1, 1, 6), level), torch.ones(1, 1, 6), torch.zeros(1, 1, 6, 8)
        read, mass = store.in_place(0).attend(query, *parts, True)
        assert read.isfinite().all() and mass.isfinite().all()
    assert read.abs().max() < 1e-6 and mass.max() < 1e-6  # everything went to the other keys


@pytest.fixture
def model():
    torch.manual_seed(0)
    shape = {"dim": 32, "depth": 2, "heads": 2, "vocab_size": 64, "num_classes": 8, "ff_hidden": 32}
    return SynapNetEdge(SynapNetEdgeConfig(**shape, chunk_len=16, episodic_slots=8, window=4, top_k=4)).eval()


@pytest.mark.parametrize("policy", ["knorm", "baee", "expected_attention", "h2o"])
@torch.no_grad()
def test_the_model_reads_the_same_in_both_ways(model, policy, monkeypatch):
    """Also policies that watch sums and queries; `h2o` counts single reads, for which there is a copy."""
    ids = torch.randint(64, (2, 150), generator=torch.Generator().manual_seed(1))
    found = []
    for in_place in (True, False):
        calls = []
        original = EpisodicStore.in_place

        def counted(store, layer, calls=calls, original=original, in_place=in_place):
            calls.append(layer)
            return original(store, layer) if in_place else None

        with monkeypatch.context() as patch:
            patch.setattr(EpisodicStore, "in_place", counted)
            store = EpisodicStore(2, policy, entries_per_layer=40, tiers=("int8",))
            state = model.init_state(2, store=store)
            hidden = torch.cat([model.step(part, state)[0] for part in ids.split(37, 1)], dim=1)
            asked, _ = model.step(ids[:, :3], fork(state))
        found.append((hidden, asked, store.held_positions()))
    torch.testing.assert_close(found[0][:2], found[1][:2], atol=1e-4, rtol=1e-4)
    assert torch.equal(found[0][2], found[1][2])


def test_training_reads_a_copy(model, monkeypatch):
    """Compiled reads have no gradient: a pass that wants one must not get them."""
    monkeypatch.setattr(EpisodicStore, "in_place", lambda *_: pytest.fail("read in place"))
    state = model.init_state(1, store=EpisodicStore(2, "knorm", entries_per_layer=40))
    for part in torch.randint(64, (1, 48)).split(16, 1):
        hidden, _ = model.step(part, state)
    hidden.sum().backward()
