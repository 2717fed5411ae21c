"""Learned step size quantisation (LSQ, Esser et al., ICLR 2020) at 3 and 4 bits, the form ParetoQ uses there.

alpha is the step itself: ``q = clamp(round(w / alpha), -2^(b-1), 2^(b-1) - 1)``, one alpha per output row,
started at the row maximum / (2^(b-1) - 1). Gradients: `row_step`.
"""

from __future__ import annotations

from synapnet_edge.quantization.row_step import Levels
from synapnet_edge.quantization.scheme import RowStepScheme


def lsq_levels(bits: int) -> Levels:
    """Levels of LSQ at `bits`."""
    half = 2 ** (bits - 1)
    return Levels("lsq", bits, 1.0, 0.0, -half, half - 1, half, half - 1, largest=half - 1)


LSQ_SCHEME = RowStepScheme({bits: lsq_levels(bits) for bits in (3, 4)})
