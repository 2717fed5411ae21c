"""Names lead to one object each, and a wrong name to the right one."""

import pytest

from synapnet_edge.registry import Registry, UnknownNameError


@pytest.fixture
def registry():
    registry = Registry("policy")
    registry.add("fifo", 1)
    registry.register("random")(2)
    return registry


def test_an_unknown_name_is_answered_with_near_matches_and_everything_there_is(registry):
    with pytest.raises(
        UnknownNameError, match=r"unknown policy 'fifi' \(did you mean fifo\?\); available: fifo, random"
    ):
        registry.get("fifi")


def test_a_second_registration_is_a_mistake(registry):
    with pytest.raises(ValueError, match="policy 'fifo' is registered twice"):
        registry.add("fifo", 3)


def test_names_keep_their_order(registry):
    assert registry.names() == list(registry) == ["fifo", "random"]
    assert "fifo" in registry and "lru" not in registry and len(registry) == 2
