"""The guarded RULER-style suite: tasks whose shortcuts are known and bounded."""

from synapnet_edge.tasks.ruler.niah_multikey import NiahMultikey1

__all__ = ["NiahMultikey1"]
