"""niah_single_2: one `name value` pair in a background full of decoys.

After RULER's task of that name (arXiv 2404.06654). The needle cannot be told from a decoy by its ids: it
tests detection and retention, and binding only where the background holds accidental bigrams.
"""

from __future__ import annotations

from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.ruler.needles import KeyedNeedles


class NiahSingle2(KeyedNeedles):
    """Retrieve the value of the only planted name.

    Notes
    -----
    Guess (any `name answer` bigram): 79 % at 512 tokens, 63 % at 1024, 27 % at 4096.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("ruler/niah_single_2", 1, layout)
