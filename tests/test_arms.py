"""The settings of an experiment's arms."""

from __future__ import annotations

import pytest

from synapnet_edge.arms import arm_problems, shape_of, source_of, training_of

CONFIG = {
    "models": {"reference": {"dim": 192, "depth": 6, "heads": 6}},
    "pretrain": {"learning_rate": 1.0, "mixture": {"a": 1.0, "b": 1.0}, "probe": {"at": [1]}, "processes": 2},
    "experiments": {
        "ablation": {
            "model": {"dim": 96},
            "pretrain": {"mixture": {"c": 1.0, "d": 0}},
            "arms": {
                "full": {},
                "thin": {"model": {"dim": 32}, "pretrain": {"learning_rate": 2.0}},
                "changed": {"from": "thin", "after": ["neutralise_bridge"]},
            },
        }
    },
}


def test_an_arm_overrides_its_experiment_and_that_the_reference():
    assert shape_of(CONFIG, "ablation", "full") == {"dim": 96, "depth": 6, "heads": 6}
    assert shape_of(CONFIG, "ablation", "thin") == {"dim": 32, "depth": 6, "heads": 6}


def test_values_are_replaced_whole_and_tasks_of_weight_zero_are_left_out():
    assert training_of(CONFIG, "ablation", "thin") == {"learning_rate": 2.0, "mixture": {"c": 1.0}}


def test_arms_are_neither_probed_nor_trained_by_several_processes():
    assert not {"probe", "processes"} & set(training_of(CONFIG, "ablation", "full"))


def test_an_arm_that_takes_weights_has_the_settings_of_their_training():
    block = CONFIG["experiments"]["ablation"]
    assert source_of(block, "changed") == "thin" and source_of(block, "full") == "full"
    assert shape_of(CONFIG, "ablation", "changed") == shape_of(CONFIG, "ablation", "thin")
    assert not list(arm_problems(block))


@pytest.mark.parametrize(
    ("arm", "key"),
    [
        ({"after": ["neutralise_bridge"]}, "after"),
        ({"from": "full"}, "from"),
        ({"from": "ful", "after": ["neutralise_bridge"]}, "from"),
        ({"from": "changed", "after": ["neutralise_bridge"]}, "from"),
        ({"from": "full", "after": ["neutralise_bridge"], "model": {"dim": 3}}, "model"),
    ],
)
def test_contradictions_of_an_arm_are_found(arm, key):
    arms = {**CONFIG["experiments"]["ablation"]["arms"], "odd": arm}
    assert [problem[:2] for problem in arm_problems({"arms": arms})] == [("odd", key)]
