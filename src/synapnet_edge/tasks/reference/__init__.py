"""The reference protocol: tasks of the previous public implementation, for comparison with its numbers."""

from synapnet_edge.tasks.reference.counting import CountNeedles, FrequencyAggregation
from synapnet_edge.tasks.reference.ordered import AntiDistraction, ReasoningOverNeedles
from synapnet_edge.tasks.reference.pairs import Mkn, NiahMultiKey
from synapnet_edge.tasks.reference.pressure import MemoryPressureNiah
from synapnet_edge.tasks.reference.single import NiahSingle, Snia, VariableTrack

__all__ = [
    "AntiDistraction",
    "CountNeedles",
    "FrequencyAggregation",
    "MemoryPressureNiah",
    "Mkn",
    "NiahMultiKey",
    "NiahSingle",
    "ReasoningOverNeedles",
    "Snia",
    "VariableTrack",
]
