import pytest

from synapnet_edge.config import SynapNetEdgeConfig
from synapnet_edge.experiments.qat_share import COLUMNS, run_share, split_training

SHAPE = SynapNetEdgeConfig(
    dim=32, depth=1, heads=2, episodic_slots=4, chunk_len=16, window=8, top_k=4, ff_hidden=48, max_len=128
).to_dict()
TRAINING = {
    "learning_rate": 1e-3,
    "warmup_steps": 1,
    "curriculum": [
        {"length": 64, "steps": 3, "batch": 2, "readouts": 2},
        {"length": 96, "steps": 1, "batch": 2, "readouts": 2},
    ],
    "chunk_lens": [8, 16],
    "mixture": {"reference/niah_single": 1.0},
}
CELLS = {"tasks": ["reference/niah_single"], "lengths": [64], "samples": 4, "test_seed": 1}


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_both_parts_have_the_steps_of_the_whole_and_the_rate_does_not_decay_twice(share):
    stages = [{"length": n, "steps": 40 + n, "batch": 1, "readouts": 1} for n in (1, 2, 3)]
    training = {**TRAINING, "curriculum": stages}
    part, quantised = split_training(training, share)
    assert sum(stage["steps"] for stage in part["curriculum"]) + quantised == 126
    assert quantised == round(share * 126) and part["final_rate"] == 1.0
    pairs = zip(part["curriculum"], stages, strict=False)
    assert all(stage["steps"] <= whole["steps"] for stage, whole in pairs)


def test_without_a_share_the_float_training_is_untouched():
    assert split_training(TRAINING, 0.0) == (TRAINING, 0)


@pytest.mark.parametrize(("share", "steps"), [(0.0, (4, 0)), (0.5, (2, 2))])
def test_a_small_model_is_trained_quantised_and_scored(share, steps):
    table = run_share(SHAPE, TRAINING, CELLS, share=share, variant="cajq_qat", seed=3, progress=False)
    assert list(table) == COLUMNS and len(table) == 1
    row = table.iloc[0]
    assert (row["float_steps"], row["qat_steps"]) == steps and row["n"] == 4 and row["seed"] == 3


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="share: found 1"):
        run_share(SHAPE, TRAINING, CELLS, share=1, variant="cajq_qat", seed=0)
    with pytest.raises(ValueError, match="variant: found 'cajq_full'"):
        run_share(SHAPE, TRAINING, CELLS, share=0.5, variant="cajq_full", seed=0)
