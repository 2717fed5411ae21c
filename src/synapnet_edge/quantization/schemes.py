"""The schemes by name."""

from __future__ import annotations

from synapnet_edge.quantization.lsq import LSQ_SCHEME
from synapnet_edge.quantization.paretoq import SEQ_SCHEME, TERNARY_SCHEME
from synapnet_edge.quantization.scheme import SchemeHandler
from synapnet_edge.quantization.uniform import INTEGER_SCHEME
from synapnet_edge.registry import Registry

SCHEMES: Registry[SchemeHandler] = Registry("quantisation scheme")
SCHEMES.add("int", INTEGER_SCHEME)
SCHEMES.add("seq", SEQ_SCHEME)
SCHEMES.add("ternary", TERNARY_SCHEME)
SCHEMES.add("lsq", LSQ_SCHEME)
