"""Eviction policies, one file each. Importing a policy's module registers it."""

from synapnet_edge.memory.policies import (  # noqa: F401
    baee,
    expected_attention,
    fifo,
    h2o,
    knorm,
    locret,
    lru,
    oracle,
    pyramidkv,
    random,
    salience,
    scissorhands,
    snapkv,
    streaming_llm,
    tova,
)
from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy

__all__ = ["POLICIES", "EntryState", "Policy"]
