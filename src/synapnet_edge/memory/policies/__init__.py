"""Eviction policies, one file each. Importing a policy's module registers it."""

from synapnet_edge.memory.policies import baee, fifo, lru, oracle, random, streaming_llm  # noqa: F401
from synapnet_edge.memory.policies.base import POLICIES, EntryState, Policy

__all__ = ["POLICIES", "EntryState", "Policy"]
