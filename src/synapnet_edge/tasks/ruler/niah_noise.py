"""niah_single_1: one `name value` pair in a block of 32 tokens repeated over the row.

After RULER's task of that name (arXiv 2404.06654). A calibration task: the pair is the only thing that does
not repeat, so it needs detection and retention, never binding.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.layout import BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler.haystack import TAIL
from synapnet_edge.tasks.ruler.records import RecordTask

PERIOD = 32


class NiahSingle1(RecordTask):
    """Retrieve the value of the only pair; the block, without names and answers, is drawn anew for every row.

    Guess: the only answer token, 100 % by construction.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("ruler/niah_single_1", 1, 1, 1, 1, layout)

    def guess(self, length: int) -> float:
        return 1.0

    def _haystack(self, rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
        noise = rng.integers(self.layout.background_start, self.layout.vocab_size, (batch, PERIOD))
        ids = noise[:, np.arange(length) % PERIOD]
        tail = self.layout.background_start, self.layout.vocab_size, (batch, TAIL)
        ids[:, -TAIL:] = rng.integers(*tail)
        ids[:, 0], ids[:, -self.block], ids[:, -1] = BOS, QUERY, SEP
        return ids
