"""The compiled functions that Python calls."""

from synapnet_edge.memory.compiled.admission import admit, least_free
from synapnet_edge.memory.compiled.classifier import rank
from synapnet_edge.memory.compiled.encoding import encode
from synapnet_edge.memory.compiled.reading import TILE, attend, space_floats
from synapnet_edge.memory.compiled.selection import all_finite, lowest

__all__ = ["TILE", "admit", "all_finite", "attend", "encode", "least_free", "lowest", "rank", "space_floats"]
