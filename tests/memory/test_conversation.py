"""A conversation put aside goes on as if it had never stopped, to the last bit."""

import pytest
import torch

from synapnet_edge import BAEEMemoryManager, load_conversation, save_conversation
from synapnet_edge.artifacts import ArtifactError, write_tensors
from synapnet_edge.memory import EpisodicStore, RetentionClassifier
from synapnet_edge.models import SalientStore, UnboundedStore
from tests.models.conftest import CHUNK, build

TOKENS = 6 * CHUNK + 5


def manager(**options):
    def make(model):
        torch.manual_seed(0)
        cfg = model.cfg
        classifier = RetentionClassifier(cfg.dim)
        return BAEEMemoryManager(cfg.dim, cfg.depth, 0.02, classifier=classifier, **options)

    return make


def stored(policy):
    return lambda model: EpisodicStore(model.cfg.depth, policy, entries_per_layer=9)


STORES = {
    "salient": lambda model: SalientStore(8),
    "unbounded": lambda model: UnboundedStore(),
    "baee": manager(),
    "baee, three formats": manager(tiers=("fp16", "int8", "summary")),
    **{name: stored(name) for name in ("random", "lru", "h2o", "snapkv", "expected_attention")},
}
BETWEEN_CHUNKS_ONLY = ("h2o", "snapkv")


@pytest.fixture(scope="module")
def model():
    return build().eval()


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 40, (2, TOKENS), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("cut", [1, CHUNK, 3 * CHUNK, 4 * CHUNK + 3])
@pytest.mark.parametrize("name", STORES)
def test_resumed_equals_uninterrupted(name, cut, autocast, model, ids, tmp_path):
    if name in BETWEEN_CHUNKS_ONLY and cut % CHUNK:
        pytest.skip("refused, see below")
    path = tmp_path / "talk.safetensors"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        state = model.init_state(2, store=STORES[name](model))
        model.step(ids[:, :cut], state)
        save_conversation(path, state, {"said": 3})
        expected, _ = model.step(ids[:, cut:], state)
        resumed = model.init_state(2, store=STORES[name](model))
        assert load_conversation(path, resumed) == {"said": 3}
        found, _ = model.step(ids[:, cut:], resumed)
    assert resumed.tokens == state.tokens == TOKENS
    assert torch.equal(found, expected)
    for key, x in state.store.state_dict().items() if name not in BETWEEN_CHUNKS_ONLY else ():
        assert torch.equal(x, resumed.store.state_dict()[key]), key


@pytest.mark.parametrize("name", BETWEEN_CHUNKS_ONLY)
def test_reads_of_an_open_chunk_are_refused_not_lost(name, model, ids, tmp_path):
    state = model.init_state(2, store=STORES[name](model))
    with torch.inference_mode():
        model.step(ids[:, : 2 * CHUNK + 3], state)
    with pytest.raises(ValueError, match="save after end_chunk"):
        save_conversation(tmp_path / "talk.safetensors", state)


def test_other_files_models_and_stores_are_refused(model, ids, tmp_path):
    path = tmp_path / "talk.safetensors"
    write_tensors(path, {"a": torch.zeros(1)}, {"kind": "model"})
    with pytest.raises(ArtifactError, match="expected a conversation, found 'model'"):
        load_conversation(path, model.init_state(2))
    state = model.init_state(2, store=STORES["baee"](model))
    with torch.inference_mode():
        model.step(ids, state)
    save_conversation(path, state)
    with pytest.raises(ArtifactError, match="'batch': 2"):
        load_conversation(path, model.init_state(3))
    for other in ("baee, three formats", "salient", "random"):
        with pytest.raises(ArtifactError, match="does not fit this store"):
            load_conversation(path, model.init_state(2, store=STORES[other](model)))
