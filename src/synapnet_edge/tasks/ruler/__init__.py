"""The guarded RULER-style suite: tasks whose shortcuts are known and bounded."""

from synapnet_edge.tasks.ruler.niah_multikey import NiahMultikey1
from synapnet_edge.tasks.ruler.niah_single import NiahSingle2
from synapnet_edge.tasks.ruler.qa import Qa1, Qa2
from synapnet_edge.tasks.ruler.vt import Vt

__all__ = ["NiahMultikey1", "NiahSingle2", "Qa1", "Qa2", "Vt"]
