import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge

CHUNK = 16


@pytest.fixture(params=["classification", "lm"])
def any_head(request):
    return build(head=request.param)


@pytest.fixture
def model():
    return build()


def build(**changes):
    """A small model in which every mechanism is active: selection beyond the window, several chunks."""
    shape = {
        "dim": 16, "depth": 2, "heads": 2, "vocab_size": 40, "num_classes": 5, "max_len": 256,
        "chunk_len": CHUNK, "episodic_slots": 4, "window": 4, "top_k": 3, "ff_hidden": 24,
    }  # fmt: skip
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model = SynapNetEdge(SynapNetEdgeConfig(**{**shape, **changes})).eval()
    torch.random.set_rng_state(generator_state)
    return model


@pytest.fixture
def ids():
    return torch.randint(0, 40, (3, 5 * CHUNK + 7), generator=torch.Generator().manual_seed(1))
