"""niah_multikey_2: a haystack of needles, one name asked.

After RULER's task of that name (arXiv 2404.06654): detection is worth nothing, only binding is left.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.ruler.records import RecordTask

MOST = 512
SHORTEST = 32


class NiahMultikey2(RecordTask):
    """Retrieve the value of one of L / 4 names, at most 512; the pairs fill half of a row up to 2048 tokens.

    Guess: the most frequent value of the pairs: 5 % at 512 tokens, 4 % at 1024, 3 % from 2048 on, measured on
    20000 draws of the values.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("ruler/niah_multikey_2", MOST, 1, 1, MOST, layout)

    def guess(self, length: int) -> float:
        return top_share(self._count(length), self.num_classes)

    def _count(self, length: int) -> int:
        return min(max(length, SHORTEST) // 4, MOST)


@lru_cache(maxsize=64)
def top_share(draws: int, values: int) -> float:
    """Expected share of the most frequent value in `draws` uniform draws from `values` values, simulated."""
    rng = np.random.default_rng(0)
    return float(rng.multinomial(draws, np.full(values, 1 / values), size=20000).max(1).mean() / draws)
