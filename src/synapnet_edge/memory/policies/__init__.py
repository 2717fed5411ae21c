"""Eviction policies, one file each. Importing a policy's module registers it."""

from synapnet_edge.memory.policies import (  # noqa: F401
    baee,
    fifo,
    lru,
    oracle,
    random,
    salience,
    streaming_llm,
)
from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy

__all__ = ["POLICIES", "EntryState", "Policy"]
