"""Stretched elastic quantisation (SEQ) at 2 bits and ternary, as ParetoQ defines it (arXiv 2502.02631).

With one alpha per output row and u = clip(w / alpha, -0.99, 0.99)::

    2 bits:   q = (round(2 u - 0.5) + 0.5) / 2        levels -3/4, -1/4, +1/4, +3/4
    ternary:  q = round(1.5 u) / 1.5                  levels -2/3, 0, +2/3

The clip stays inside 1 because round-half-even would otherwise open one level more at |w| = alpha, which the
largest weight of every row hits at the start (alpha starts as the row maximum). Gradients: `row_step`.
"""

from __future__ import annotations

from synapnet_edge.quantization.row_step import Levels
from synapnet_edge.quantization.scheme import RowStepScheme

CLIP = 0.99
SEQ = Levels("seq", bits=2, n=2.0, shift=0.5, low=-CLIP, high=CLIP, offset=2, positive=1)
TERNARY = Levels("ternary", bits=2, n=1.5, shift=0.0, low=-CLIP, high=CLIP, offset=1, positive=1)

SEQ_SCHEME = RowStepScheme({2: SEQ})
TERNARY_SCHEME = RowStepScheme({2: TERNARY})
