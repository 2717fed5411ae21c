"""The most that a question's read gave an entry, held against the reads of all tokens."""

import numpy as np
import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.memory import ReadTrace
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.tasks.mixture import Mixture
from synapnet_edge.training.question_reads import QuestionReads, question_tokens

CHUNK, LAYERS, HEADS, ROWS, TOKENS = 16, 2, 2, 2, 64


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=LAYERS, heads=HEADS, chunk_len=CHUNK, episodic_slots=4, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


def passed(model: SynapNetEdge, asked: torch.Tensor) -> tuple[QuestionReads, ReadTrace]:
    ids = torch.randint(5, 4096, (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))
    store = QuestionReads(asked)
    with torch.inference_mode():
        state = model.init_state(ROWS, store=store)
        model.step(ids, state)
        return store, ReadTrace.from_store(store, LAYERS, state.slots)


def test_largest_share_lies_between_the_mean_and_the_sum_of_the_reads(model):
    store, trace = passed(model, torch.ones(ROWS, TOKENS, dtype=torch.bool))
    for layer in range(LAYERS):
        later = store.later(layer, trace.chunks)
        for chunk in range(trace.chunks):
            largest_mass = trace.mass[chunk + 1 :, layer].amax(dim=0) if chunk + 1 < trace.chunks else 0.0
            assert (later[chunk] <= largest_mass + 1e-6).all()
            assert (later[chunk] >= largest_mass / (CHUNK * HEADS) - 1e-6).all()
        assert (later[0] > 0).any() and not later[-1].any()


def test_only_questions_count_and_more_of_them_give_the_larger_share(model):
    nothing = torch.zeros(ROWS, TOKENS, dtype=torch.bool)
    one, other = nothing.clone(), nothing.clone()
    one[0, 40], other[0, 63], other[1, 20] = True, True, True
    found = {}
    for name, asked in {"nothing": nothing, "one": one, "other": other, "both": one | other}.items():
        store, trace = passed(model, asked)
        found[name] = torch.stack([store.later(layer, trace.chunks) for layer in range(LAYERS)])
    assert not found["nothing"].any()
    assert found["one"][:, :2, 0].any() and not found["one"][:, 2:].any() and not found["one"][:, :, 1].any()
    torch.testing.assert_close(found["both"], torch.maximum(found["one"], found["other"]))


def test_questions_are_the_scored_tokens_and_those_before():
    rows = Mixture({"reference/niah_multi_key": 1.0}).batch(np.random.default_rng(0), 3, 128, 4)
    asked = question_tokens(rows)
    for row, positions in enumerate(rows.target_pos):
        assert set(asked[row].nonzero()[:, 0].tolist()) == {int(p) - b for p in positions for b in (0, 1)}
