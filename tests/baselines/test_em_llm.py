"""EM-LLM: events where surprise says so, boundaries where keys separate, retrieval of what is alike."""

from __future__ import annotations

import pytest
import torch

from synapnet_edge.baselines import em_events, em_llm
from synapnet_edge.baselines.em_llm import EMLLM, fit_next_token
from synapnet_edge.baselines.llama import Llama
from synapnet_edge.baselines.shape import Shape
from tests.baselines.conftest import build


@pytest.fixture
def small(monkeypatch):
    """Sizes at which every mechanism works within a hundred tokens."""
    for name, value in {
        "INITIAL": 2,
        "LOCAL": 16,
        "RETRIEVED": 12,
        "BLOCK": 8,
        "LEAST": 2,
        "MOST": 6,
    }.items():
        monkeypatch.setattr(em_llm, name, value)


def em_model():
    llama = build("llama")
    model = EMLLM(llama.cfg)
    model.load_state_dict(llama.state_dict(), strict=False)
    return llama, model.eval()


def stream(model, ids, pieces):
    state = model.init_state(len(ids))
    return torch.cat([model.step(part, state)[0] for part in ids.split(pieces, 1)], 1), state


def test_a_planted_spike_is_a_boundary_and_the_threshold_is_of_the_past():
    surprise = torch.rand(64, generator=torch.Generator().manual_seed(0))
    surprise[40] = 9.0
    assert em_events.surprising(surprise, 32, 24, 3.0, 4) == [40]
    louder = surprise.clone()
    louder[50:] = 100.0  # later tokens cannot hide the spike
    assert em_events.surprising(louder, 32, 24, 3.0, 4)[0] == 40
    assert em_events.surprising(surprise[:3], 2, 24, 1.0, 4) == [], "too little past for a threshold"


@pytest.mark.parametrize("edge", [3, 5, 9])
def test_modularity_of_two_blocks_is_greatest_at_their_edge(edge):
    adjacency = torch.full((12, 12), 0.1)
    adjacency[:edge, :edge] = adjacency[edge:, edge:] = 1.0
    scores = em_events.modularity(adjacency)
    assert int(scores.argmax()) + 1 == edge
    # by the definition, pair by pair
    side = torch.arange(12) < edge
    degree, total = adjacency.sum(1), adjacency.sum()
    same = (side[:, None] == side[None]).float()
    expected = ((adjacency - degree[:, None] * degree / total) * same).sum() / total
    assert torch.isclose(scores[edge - 1], expected, atol=1e-5)


def test_refinement_moves_a_boundary_to_the_edge_of_the_keys():
    keys = torch.zeros(20, 2)
    keys[:8, 0], keys[8:, 1] = 1.0, 1.0
    assert em_events.refine(10, 0, 20, keys, 2) == 8
    assert em_events.refine(2, 0, 3, keys, 2) == 2, "nothing to choose between"


def test_events_have_their_least_and_most_tokens():
    assert em_events.limited([5, 6, 30], 0, 40, 2, 10) == [5, 15, 25, 30]
    assert em_events.limited([], 0, 9, 2, 10) == []
    assert em_events.limited([], 0, 25, 2, 10) == [10, 20]


def test_the_most_similar_events_fill_the_room_and_neighbours_the_buffer():
    similarity = torch.tensor([[0.0, 9.0, 1.0, 2.0, 8.0, 3.0]])
    sizes = torch.full((6,), 4)
    chosen = em_events.choose_events(similarity, sizes, 16, 0.5)
    assert chosen[0].nonzero()[:, 0].tolist() == [0, 1, 2, 4], (
        "events 1 and 4, then both neighbours of the best"
    )


def test_representatives_are_the_tokens_read_most():
    keys = torch.arange(10.0).view(1, 5, 2)
    attention = torch.tensor([[0.0, 3.0, 0.0, 2.0, 0.0]])
    assert torch.equal(em_events.representatives(keys, attention, 2), (keys[0, 1] + keys[0, 3]) / 2)


@torch.no_grad()
def test_within_the_local_window_it_is_the_llama(ids):
    llama, model = em_model()
    assert torch.allclose(model(ids), llama(ids), atol=1e-5)


@torch.no_grad()
def test_pieces_of_any_length_give_one_pass(small):
    _, model = em_model()
    ids = torch.randint(0, 96, (2, 75), generator=torch.Generator().manual_seed(5))
    whole, state = stream(model, ids, 75)
    assert all(count > 0 for count in state.extra["scored"]), "events were retrieved from"
    for pieces in (1, 3, 8, 20):
        assert torch.allclose(stream(model, ids, pieces)[0], whole, atol=2e-5), pieces


@torch.no_grad()
def test_later_tokens_change_nothing_before(small):
    _, model = em_model()
    ids = torch.randint(0, 96, (1, 75), generator=torch.Generator().manual_seed(5))
    changed = ids.clone()
    changed[:, 60:] = (changed[:, 60:] + 7) % 96
    before, after = (stream(model, given, 75)[0] for given in (ids, changed))
    assert torch.allclose(before[:, :60], after[:, :60], atol=1e-6)


@torch.no_grad()
def test_tokens_outside_window_and_events_are_not_read(small):
    """Every query sees the initial tokens, its window and at most the room for retrieved tokens."""
    _, model = em_model()
    ids = torch.randint(0, 96, (1, 120), generator=torch.Generator().manual_seed(6))
    seen = []
    inner = model._visible
    model._visible = lambda *arguments: seen.append(inner(*arguments)) or seen[-1]
    stream(model, ids, 120)
    longest = em_llm.LOCAL + em_llm.MOST + 2 * em_llm.BLOCK
    assert int(seen[-1].sum(-1).max()) <= em_llm.INITIAL + em_llm.RETRIEVED + longest < 120
    assert bool(seen[-1][..., : em_llm.INITIAL].all())


def test_the_next_token_head_learns_on_frozen_states():
    shape = {"dim": 32, "depth": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "ff_hidden": 48}
    llama = Llama(Shape("llama", vocab_size=4096, num_classes=64, **shape)).eval()
    settings = {"steps": 8, "batch": 4, "length": 64, "learning_rate": 1e-2}
    model, first, last = fit_next_token(llama, {"reference/niah_single": 1.0}, settings, 0)
    assert last < first
    for name, parameter in llama.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))
