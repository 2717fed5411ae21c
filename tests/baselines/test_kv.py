"""Cache policies: nothing changes without a limit, budgets hold, and each keeps what its paper says."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.baselines.kv import KV_POLICIES, answer
from synapnet_edge.baselines.kv.base import LayerCache, Seen
from synapnet_edge.baselines.kv.grid import COLUMNS, capacity_of, run_kv_policy
from synapnet_edge.baselines.kv.locret import fit_heads
from synapnet_edge.baselines.llama import Llama
from synapnet_edge.baselines.shape import Shape
from tests.baselines.conftest import build

MIXTURE = {"reference/memory_pressure_niah": 1.0}
HEADS = {"steps": 3, "batch": 2, "length": 64, "hidden": 8, "learning_rate": 1e-3}
SETTINGS = {
    **{"task": "reference/memory_pressure_niah", "length": 128, "samples": 3, "budgets": [0.25, 0.5]},
    **{"piece": 16, "question": 32, "positions": ["early"], "locret": HEADS},
}


def cache_of(keys):
    """One batch, one head, `keys` keys in order."""
    position = torch.arange(keys).view(1, 1, -1)
    zeros = torch.zeros(1, 1, keys, 4)
    return LayerCache(zeros, zeros.clone(), position)


def kept(cache):
    return cache.position[0, 0].tolist()


@pytest.fixture(scope="module")
def llama():
    shape = {"dim": 32, "depth": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "ff_hidden": 48}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Llama(Shape("llama", vocab_size=4096, num_classes=64, **shape)).eval()


@torch.no_grad()
def test_without_a_policy_the_answer_is_the_models(ids):
    model = build("llama")
    logits, run = answer(model, ids, None, piece=7, open_from=24)
    assert torch.allclose(logits, model(ids), atol=1e-5)
    assert run.tokens == ids.shape[1]


@pytest.mark.parametrize("name", [name for name in KV_POLICIES if name != "locret"])
def test_a_prompt_within_the_capacity_is_left_as_it_is(ids, name):
    model = build("llama")
    for aware in (False, True):
        policy = KV_POLICIES.get(name)(200, 2)
        logits, run = answer(model, ids, policy, piece=7, open_from=24, query_aware=aware)
        assert torch.allclose(logits, model(ids), atol=1e-5)
        assert all(cache.position.shape[2] == ids.shape[1] for cache in run.caches)


@pytest.mark.parametrize("name", list(KV_POLICIES))
def test_budgets_hold_and_every_policy_runs_the_grid(llama, name):
    table = run_kv_policy(llama, name, SETTINGS, seed=3, mixture=MIXTURE)
    assert list(table.columns) == COLUMNS
    question = 2 * 2 * 32 * (4 * 8 + 4 * (1 + len(KV_POLICIES.get(name).notes)))
    prompt = 96 * 2 * 2 * 4 * 8  # tokens x layers x heads x bytes of a key and a value
    agnostic = table[~table["query_aware"]]
    assert list(agnostic["budget"]) == [0.25, 0.5]
    assert (agnostic["bytes"] <= agnostic["budget"] * prompt + question).all()
    assert (table["n"] == 3).all() and table["retention"].between(0, 1).all()
    aware = {"snapkv", "pyramidkv"}
    assert table["query_aware"].any() == (name in aware)


def test_h2o_sums_attention_and_a_dropped_key_never_returns():
    policy, cache = KV_POLICIES.get("h2o")(4, 1), cache_of(6)
    cache.notes["mass"] = torch.zeros(1, 1, 6)
    rows = torch.tensor([[0.1, 0.6, 0.0, 0.3, 0.0, 0.0], [0.5, 0.1, 0.0, 0.1, 0.2, 0.1]]).view(1, 1, 2, 6)
    policy.observe(cache, Seen(0, rows, None, None, None))
    assert torch.allclose(cache.notes["mass"][0, 0], rows[0, 0].sum(0))
    policy.decide(0, cache, 6)
    assert kept(cache) == [0, 1, 4, 5], "two heavy hitters (0.6 and 0.7) and the two newest"
    cache.notes["mass"] = cache.notes["mass"] + 1
    policy.decide(0, cache, 6)
    assert kept(cache) == [0, 1, 4, 5]


def test_scissorhands_forgets_an_old_spike_and_keeps_a_recent_one():
    policy, cache = KV_POLICIES.get("scissorhands")(24, 1), cache_of(48)
    for name in policy.notes:
        cache.notes[name] = torch.zeros(1, 1, 48)
    policy.observe(cache, Seen(0, rows_with_spike(3), None, None, None))
    for _ in range(len(policy.notes)):  # the spike at 3 leaves the history
        policy.observe(cache, Seen(0, rows_with_spike(5), None, None, None))
    policy.decide(0, cache, 48)
    assert 5 in kept(cache) and 3 not in kept(cache)
    assert set(range(38, 48)) <= set(kept(cache)), "the last ten always stay"
    assert len(kept(cache)) == 24


def rows_with_spike(at):
    """Two queries over 48 keys: almost everything on one key."""
    rows = torch.full((1, 1, 2, 48), 0.001)
    rows[..., at] = 1 - 47 * 0.001
    return rows


def test_snapkv_keeps_the_neighbours_of_a_vote_and_its_window():
    policy, cache = KV_POLICIES.get("snapkv")(12, 1), cache_of(60)
    rows = torch.zeros(1, 1, 8, 60)
    rows[..., 20] = 1.0
    policy.observe(cache, Seen(0, rows, None, None, None))
    policy.decide(0, cache, 60)
    assert set(range(54, 60)) <= set(kept(cache)), "the window: half of this small capacity"
    assert set(kept(cache)) - set(range(54, 60)) <= set(range(17, 24)) and len(kept(cache)) == 12


def test_pyramid_gives_lower_layers_more_of_the_same_total():
    policy = KV_POLICIES.get("pyramidkv")(20, 4)
    rooms = [policy.room(layer, 400, 400) for layer in range(4)]
    assert sum(rooms) == 80 and rooms == sorted(rooms, reverse=True) and rooms[0] > rooms[-1]


def test_locret_scores_once_and_its_heads_learn(llama):
    heads = fit_heads(llama, MIXTURE, HEADS, 0)
    policy, cache = KV_POLICIES.get("locret")(3, 2, {"heads": heads}), cache_of(5)
    cache.notes["score"] = torch.tensor([[[9.0, 1.0, 5.0, 0.0, 0.0]]])
    policy.decide(0, cache, 5)
    assert kept(cache) == [0, 2, 4], "the two best and the newest (40 % of the budget)"
    untrained = fit_heads(llama, MIXTURE, {**HEADS, "steps": 0}, 0)
    assert any(not torch.equal(a, b) for a, b in zip(heads.parameters(), untrained.parameters(), strict=True))
    with pytest.raises(ValueError, match="no trained heads"):
        KV_POLICIES.get("locret")(3, 2).observe(cache, Seen(0, None, None, None, None))


def test_random_draws_a_keys_fate_once():
    policy, cache = KV_POLICIES.get("random")(8, 1, {"seed": 1}), cache_of(64)
    first = policy.scores(0, cache)
    assert torch.equal(first, policy.scores(0, cache))
    policy.decide(0, cache, 64)
    early = sum(position < 32 for position in kept(cache))
    assert 0 < early < 8


def test_notes_cost_capacity():
    plain, noted = (capacity_of(KV_POLICIES.get(name), 0.5, 1000, 32) for name in ("window", "scissorhands"))
    assert plain == 484 and noted < plain
