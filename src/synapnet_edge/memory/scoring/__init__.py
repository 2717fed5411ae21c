"""Published retention scores as pure functions of tensors, for a store's entries or a transformer's cache.

The last axis is always the keys N; a score is higher for what should be kept. `position` [..., N] is the
original token index of each key, where keys do not already stand in the order of the sequence.
"""

from synapnet_edge.memory.scoring.expected_attention import QueryMoments, expected_attention
from synapnet_edge.memory.scoring.h2o import h2o
from synapnet_edge.memory.scoring.knorm import knorm
from synapnet_edge.memory.scoring.locret import RetainingHead, locret_labels, locret_loss
from synapnet_edge.memory.scoring.pyramidkv import pyramid_budgets
from synapnet_edge.memory.scoring.scissorhands import low_counts, scissorhands
from synapnet_edge.memory.scoring.snapkv import snapkv, snapkv_votes
from synapnet_edge.memory.scoring.tova import tova
from synapnet_edge.memory.scoring.window import keep_indices, protect_recent

__all__ = [
    "QueryMoments",
    "RetainingHead",
    "expected_attention",
    "h2o",
    "keep_indices",
    "knorm",
    "locret_labels",
    "locret_loss",
    "low_counts",
    "protect_recent",
    "pyramid_budgets",
    "scissorhands",
    "snapkv",
    "snapkv_votes",
    "tova",
]
