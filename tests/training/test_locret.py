"""Labels of Locret are the questions' logits; heads learn; the backbone is left alone."""

import pytest
import torch

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.training.locret import LocretSettings, _Recorder, train_locret

MIXTURE = {"reference/niah_multi_key": 1.0}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = SynapNetEdgeConfig(
        dim=32, depth=2, heads=2, chunk_len=16, episodic_slots=4, window=8, top_k=8, ff_hidden=32
    )
    return SynapNetEdge(cfg).eval()


def test_labels_are_the_largest_logits_of_the_asking_queries():
    asked = torch.tensor([[False, False, True, False, True]])
    store = _Recorder(asked)
    queries = torch.tensor([[1.0, 0.0], [9.0, 9.0], [0.0, 2.0], [7.0, 7.0], [3.0, -1.0]])[None, None]
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[None, None]
    store.observe_queries(0, queries[:, :, :2])
    store.write(0, keys, keys, torch.zeros(1, 2), torch.tensor([[0, 1]]))
    store.end_chunk()
    store.observe_queries(0, queries[:, :, 2:])
    assert store.labels[0].tolist() == [[3.0, 2.0]]  # of queries 2 and 4, not of 1 and 3
    assert store.written_queries[0][0][0, :, 0].tolist() == [[1.0, 0.0], [9.0, 9.0]]


def test_training_lowers_the_loss_and_leaves_the_backbone_alone(model):
    settings = {"mixture": MIXTURE, "documents": 4, "length": 128, "steps": 200, "hidden": 128, "readouts": 4}
    heads, table = train_locret(model, settings, seed=0, progress=False)
    assert len(heads) == 2 and int(table["parameters"][0]) == 2 * (96 * 128 + 128)
    assert table["loss"].tail(10).mean() < 0.8 * table["loss"].head(10).mean()
    assert not any(parameter.grad is not None for parameter in model.parameters())


def test_settings_are_checked():
    with pytest.raises(ValueError, match="unknown keys"):
        LocretSettings.from_dict({"mixture": MIXTURE, "step": 3})
    with pytest.raises(ValueError, match="steps"):
        LocretSettings.from_dict({"mixture": MIXTURE, "steps": 0})
