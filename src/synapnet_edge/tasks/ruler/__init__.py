"""The guarded RULER-style suite: tasks whose shortcuts are known and bounded."""

from synapnet_edge.tasks.ruler.niah_grid import NiahMultikey3
from synapnet_edge.tasks.ruler.niah_multi import NiahMultiquery, NiahMultivalue
from synapnet_edge.tasks.ruler.niah_multikey import NiahMultikey1
from synapnet_edge.tasks.ruler.niah_needles import NiahMultikey2
from synapnet_edge.tasks.ruler.niah_noise import NiahSingle1
from synapnet_edge.tasks.ruler.niah_single import NiahSingle2
from synapnet_edge.tasks.ruler.niah_single_3 import NiahSingle3
from synapnet_edge.tasks.ruler.qa import Qa1, Qa2
from synapnet_edge.tasks.ruler.vt import Vt
from synapnet_edge.tasks.ruler.vt_set import VtSet
from synapnet_edge.tasks.ruler.words import Cwe, Fwe

__all__ = [
    "Cwe",
    "Fwe",
    "NiahMultikey1",
    "NiahMultikey2",
    "NiahMultikey3",
    "NiahMultiquery",
    "NiahMultivalue",
    "NiahSingle1",
    "NiahSingle2",
    "NiahSingle3",
    "Qa1",
    "Qa2",
    "Vt",
    "VtSet",
]
