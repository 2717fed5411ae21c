"""Episodic memory under a byte budget: store, tiers, policies, retention classifier."""

from synapnet_edge.memory.baee import BAEEMemoryManager
from synapnet_edge.memory.policies import POLICIES, EntryState, Policy
from synapnet_edge.memory.retention import RetentionClassifier
from synapnet_edge.memory.store import EpisodicStore
from synapnet_edge.memory.traces import ReadTrace

__all__ = [
    "POLICIES",
    "BAEEMemoryManager",
    "EntryState",
    "EpisodicStore",
    "Policy",
    "ReadTrace",
    "RetentionClassifier",
]
