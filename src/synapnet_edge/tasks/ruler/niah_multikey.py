"""niah_multikey_1: several `name value` pairs in a background full of decoys, one name asked.

After RULER's task of that name (arXiv 2404.06654), rebuilt on tokens so that neither ids, positions, order
nor counts give the answer away.
"""

from __future__ import annotations

from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.ruler.needles import KeyedNeedles


class NiahMultikey1(KeyedNeedles):
    """Retrieve the value of one of `pairs` names; 4 pairs is the headline, 8 the harder variant.

    Raises
    ------
    ValueError
        For fewer than two pairs, or if the layout has fewer names than pairs.

    Notes
    -----
    Guess (any `name answer` bigram) at 1024 tokens: 22 % for 4 pairs, 13 % for 8.
    """

    version = 2  # names in an order that does not depend on the processor

    def __init__(self, pairs: int = 4, layout: Layout = LAYOUT) -> None:
        if pairs < 2:
            raise ValueError(f"pairs: expected at least 2, got {pairs}")
        super().__init__("ruler/niah_multikey_1" + ("" if pairs == 4 else f"_{pairs}"), pairs, layout)
