"""The hybrid model and the state it carries."""

from synapnet_edge.models.state import EntryStore, LayerState, MemoryView, ModelState
from synapnet_edge.models.stores import SalientStore, UnboundedStore
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge

__all__ = [
    "EntryStore",
    "LayerState",
    "MemoryView",
    "ModelState",
    "SalientStore",
    "SynapNetEdge",
    "UnboundedStore",
]
