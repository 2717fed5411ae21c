"""Policies for a transformer's cache, one file each. Importing a policy's module registers it."""

from synapnet_edge.baselines.kv import (  # noqa: F401
    h2o,
    locret,
    pyramidkv,
    random,
    scissorhands,
    snapkv,
    window,
)
from synapnet_edge.baselines.kv.base import KV_POLICIES, CachedLlama, KVPolicy, answer

__all__ = ["KV_POLICIES", "CachedLlama", "KVPolicy", "answer"]
