"""When the eviction grid's goals count as met."""

import pandas as pd
import pytest

from synapnet_edge.reporting.policy_goals import grid_goals


def grid(**accuracy: float) -> pd.DataFrame:
    """One interpretable cell; every interval is two points wide on either side."""
    return pd.DataFrame(
        [
            {
                "task": "t", "position": "early", "length": 512, "budget": 0.1, "query_aware": False,
                "interpretable": True, "policy": name, "accuracy": value, "ci_high": value + 0.02,
            }
            for name, value in accuracy.items()
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("accuracy", "near", "strict"),
    [
        ({"baee": 0.9, "fifo": 0.8, "oracle": 1.0, "oracle+int8": 1.0}, True, True),
        ({"baee": 0.9, "fifo": 0.8, "baee+fp16": 0.95}, True, True),  # fewer formats are no other policy
        ({"baee": 0.9, "fifo+int8": 0.91}, True, False),
        ({"baee": 0.9, "fifo": 0.93}, False, False),
    ],
)
def test_baee_is_held_against_other_policies_only(accuracy, near, strict):
    goals = grid_goals(grid(**accuracy))
    assert [goal.met for goal in goals] == [near, strict]
