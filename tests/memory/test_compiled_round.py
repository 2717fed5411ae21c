"""The compiled round keeps what the tensor operations keep, byte for byte."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synapnet_edge.memory import POLICIES, EpisodicStore, RetentionClassifier
from synapnet_edge.memory import exchange as operations
from synapnet_edge.memory.compiled import calls as compiled
from synapnet_edge.memory.policies.baee import BAEEPolicy
from synapnet_edge.memory.policies.state import EntryState
from synapnet_edge.memory.tiers import SCALE_FLOOR, Block, quantize_int8

HEADS, WIDTH, NOTE = 2, 3, 2


class Interpreted(RetentionClassifier):
    """The same classifier; the policy compiles only what it knows."""

    def rank(self, content, features):
        return super().rank(content, features)


def random_entries(shape, generator, empty=0.3):
    """Entries [L, B, N] whose every number is drawn."""

    def draw(*more):
        return torch.rand(*shape, *more, generator=generator)

    whole = {name: torch.randint(0, 99, shape, generator=generator) for name in ("position", "written")}
    return {
        "keys": draw(HEADS, WIDTH).half(),
        "values": draw(HEADS, WIDTH).half(),
        "note": draw(NOTE).half(),
        "position": whole["position"].masked_fill(draw() < empty, -1).int(),
        "log_salience": draw().neg().half(),
        "count": draw(),
        "mass": draw(),
        "chunk_mass": draw(),
        "last_read": whole["written"].int(),
        "written": whole["written"].int(),
        "reads": whole["position"].int(),
    }


@settings(deadline=None, max_examples=150)
@given(
    limits=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    batch=st.integers(1, 3),
    new=st.integers(0, 50),
    empty=st.sampled_from([0.0, 0.3, 1.0]),
    values=st.sampled_from([1, 3, 1000]),
    entry_format=st.sampled_from(["fp16", "int8"]),
    seed=st.integers(0, 10**6),
)
def test_the_same_entries_enter_the_same_slots(limits, batch, new, empty, values, entry_format, seed):
    """Few different scores mean many ties; layers are unequal, slots empty and newcomers padded."""
    generator = torch.Generator().manual_seed(seed)
    layers, slots = len(limits), max(limits)
    shape = {"layers": layers, "batch": batch, "heads": HEADS, "width": WIDTH, "note": NOTE}
    cpu = torch.device("cpu")
    one, two = (Block(entry_format, slots, limits=limits, device=cpu, **shape) for _ in range(2))
    stored = one.encode(random_entries((layers, batch, slots), generator, empty))
    beyond = torch.arange(slots) >= torch.tensor(limits)[:, None, None]
    stored["position"] = stored["position"].masked_fill(beyond, -1)
    incoming = one.encode(random_entries((layers, batch, new), generator, empty))
    scores = torch.randint(-values, values, (layers, batch, slots + new), generator=generator).double()
    for block in (one, two):
        block.load({name: stored[name] for name in block.data})
        block.top = 0
    gone = operations.admit_best(one, scores, incoming)
    assert torch.equal(compiled.admit_best(two, scores, incoming), gone)
    assert two.top == one.top and two.free() == int((two.limits[:, None] - two.live.sum(-1)).min())
    for name, x in one.data.items():
        assert torch.equal(x, two.data[name]), name


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(0, 300), k=st.integers(0, 300), values=st.sampled_from([1, 5, 10**6]),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_the_lowest_are_those_of_a_stable_sort(count, k, values, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-values, values, (2, 3, count), generator=generator).double()
    scores[0, 0, ::3], scores[1, 1, 1::3] = -math.inf, math.inf
    for found, expected in zip(
        compiled.lowest(scores, min(k, count)), operations.lowest(scores, min(k, count)), strict=True
    ):
        assert torch.equal(found, expected)


def test_what_does_not_fit_is_named_before_a_byte_is_moved():
    """Kernels work on addresses: a wrong size would be someone else's memory."""
    generator = torch.Generator().manual_seed(0)
    cpu = torch.device("cpu")
    block = Block("fp16", 4, layers=1, batch=1, heads=HEADS, width=WIDTH, note=NOTE, device=cpu)
    block.load(random_entries((1, 1, 4), generator))
    incoming = random_entries((1, 1, 2), generator)
    incoming["note"] = incoming["note"][..., :1]
    with pytest.raises(ValueError, match="note of an entry takes 4 bytes"):
        compiled.admit_best(block, torch.zeros(1, 1, 6).double(), incoming)
    state = EntryState([incoming], lambda *_: None, step=0, capacity=torch.tensor([4]))
    with pytest.raises(ValueError, match="notes of 8 numbers, got 1"):
        compiled.rank_entries(RetentionClassifier(12), state)
    with pytest.raises(ValueError, match="float32"):
        compiled.rank_entries(RetentionClassifier(12).double(), state)


def test_importing_the_package_compiles_nothing():
    code = "import sys, synapnet_edge, synapnet_edge.memory; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_found_anywhere(bad):
    scores = torch.tensor([0.0, -0.0, 1e308, -1e308, 5e-324], dtype=torch.float64).repeat(2, 1, 4)
    assert compiled.all_finite(scores) and compiled.all_finite(scores[..., :0])
    for n in range(20):
        spoiled = scores.clone()
        spoiled[1, 0, n] = bad
        assert not compiled.all_finite(spoiled)


def test_of_equal_scores_the_first_slot_leaves_and_the_first_newcomer_enters():
    block = Block(
        "fp16", 4, layers=1, batch=1, heads=HEADS, width=WIDTH, note=NOTE, device=torch.device("cpu")
    )
    generator = torch.Generator().manual_seed(0)
    stored, incoming = random_entries((1, 1, 4), generator, 0.0), random_entries((1, 1, 3), generator, 0.0)
    stored["position"][:], incoming["position"][:] = torch.arange(4), torch.arange(10, 13)
    block.load(stored)
    compiled.admit_best(block, torch.tensor([[[1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 1.0]]]).double(), incoming)
    assert block.data["position"].tolist() == [[[0, 10, 11, 3]]]  # and at 1 against 1 the stored one stays


@pytest.mark.parametrize("hidden", [1, 3, 8, 16])
@pytest.mark.parametrize("sizes", [(1, 0), (16, 5), (37, 1), (204, 32)])
def test_scores_are_those_of_the_classifier(hidden, sizes):
    torch.manual_seed(0)
    classifier = RetentionClassifier(12, hidden)
    classifier.feature_mean += torch.rand(4)
    classifier.feature_std += torch.rand(4)
    torch.nn.init.normal_(classifier.direct)
    shape = (3, 2)
    parts = [
        {
            "position": torch.zeros(*shape, n, dtype=torch.int32),
            "log_salience": -10 * torch.rand(*shape, n).half(),
            "written": torch.randint(0, 5000, (*shape, n), dtype=torch.int32),
            "mass": torch.rand(*shape, n) * 10.0 ** torch.randint(-9, 6, (*shape, n)),
            "note": torch.randn(*shape, n, hidden).half(),
        }
        for n in sizes
    ]
    state = EntryState(parts, lambda *_: None, step=5000, capacity=torch.tensor([sizes[0]] * 3))
    policy, reference = BAEEPolicy(classifier), Interpreted(12, hidden)
    reference.load_state_dict(classifier.state_dict())
    found, expected = policy.score(state), BAEEPolicy(reference).score(state)
    assert found.dtype == torch.float64 and found.shape == state.shape
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
    # An entry's score does not depend on where it stands, to the last bit.
    behind = [{name: x[:, :, 1:] for name, x in part.items()} for part in parts[:1]]
    moved = EntryState(behind, lambda *_: None, step=5000, capacity=state.capacity)
    assert torch.equal(policy.score(moved), found[:, :, 1 : sizes[0]])


@pytest.mark.parametrize("name", ["baee", "fifo", "h2o", "lru", "pyramidkv", "scissorhands", "tova"])
@pytest.mark.parametrize("tiers", [("fp16",), ("int8",), ("fp16", "int8", "summary")], ids="+".join)
def test_a_stream_ends_with_the_same_bytes(name, tiers, monkeypatch):
    if name == "pyramidkv" and len(tiers) > 1:
        pytest.skip("layers of unequal size have one tier")

    def streamed(classifier):
        policy = BAEEPolicy(classifier(HEADS * WIDTH, 4)) if name == "baee" else POLICIES.get(name)()
        if name == "baee":
            policy.classifier.load_state_dict(weights)
        store = EpisodicStore(3, policy, entries_per_layer=20, tiers=tiers)
        generator = torch.Generator().manual_seed(1)
        for chunk in range(12):
            for layer in range(3):
                view = store.read(layer)
                shown = 0 if view is None else view.bias.shape[1]
                bias = torch.zeros(2, 1, 5, shown + 5 + 1)
                if view is not None:
                    bias[..., :shown] = view.bias[:, None, None]
                logits = bias + torch.rand(bias.shape, generator=generator)
                probabilities = logits.softmax(dim=-1)
                watch = store.watch_blocks(layer, bias) if store.wants_mass else None
                for stream in range(2) if watch else ():
                    watch(stream, 0, probabilities[stream, 0])
                if view is not None and store.wants_mass:
                    store.observe_read(layer, probabilities[:, 0, :, :shown].sum(dim=1))
                keys, values = torch.randn(2, 2, HEADS, 5, WIDTH, generator=generator)
                salience = -torch.rand(2, 5, generator=generator)
                salience[chunk % 2, 3] = -math.inf
                store.write(layer, keys, values, salience, 5 * chunk + torch.arange(5).expand(2, -1))
            store.end_chunk()
        return store.state_dict()

    torch.manual_seed(0)
    weights = RetentionClassifier(HEADS * WIDTH, 4).state_dict()
    found = streamed(RetentionClassifier)
    monkeypatch.setattr(compiled, "admit_best", operations.admit_best)
    monkeypatch.setattr(compiled, "lowest", operations.lowest)
    expected = streamed(Interpreted)
    assert found.keys() == expected.keys()
    for key, x in expected.items():
        assert torch.equal(x, found[key]), key


@settings(deadline=None, max_examples=100)
@given(
    rows=st.integers(0, 5),
    width=st.integers(1, 70),
    exponent=st.floats(-8, 4.8),
    seed=st.integers(0, 10**6),
)
def test_codes_and_scales_are_those_of_the_tensor_operations(rows, width, exponent, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, rows, width, generator=generator) * 10**exponent
    x = (x * (torch.rand(x.shape, generator=generator) < 0.8)).clamp(-65504, 65504).half()
    for given_x in (x, x.transpose(0, 1)):
        expected, found = quantize_int8(given_x), compiled.quantize_int8(given_x, SCALE_FLOOR)
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
