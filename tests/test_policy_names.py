"""Names of policies with entry formats behind them."""

import pytest

from synapnet_edge.policy_names import split_policy


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fifo", ("fifo", ("fp16",))),
        ("baee", ("baee", ("int8",))),
        ("baee+fp16", ("baee", ("fp16",))),
        ("streaming_llm+fp16+int8", ("streaming_llm", ("fp16", "int8"))),
    ],
)
def test_a_name_says_the_policy_and_its_tiers(name, expected):
    assert split_policy(name) == expected


def test_unknown_formats_are_named():
    with pytest.raises(ValueError, match=r"int4.*expected some of.*int8"):
        split_policy("baee+fp16+int4")
