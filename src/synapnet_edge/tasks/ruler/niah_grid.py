"""niah_multikey_3: records with keys of two names, every combination of which has its own values.

After RULER's task of that name (arXiv 2404.06654), whose keys and values are long identifiers that differ
only as a whole.
"""

from __future__ import annotations

import numpy as np

from synapnet_edge.tasks.blocks import distinct_integers
from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.records import RecordTask

SIDE = 8
SLOTS = 2


class NiahMultikey3(RecordTask):
    """64 records `a b v0 v1`, one for each pair of eight names a and eight names b; a, b and ORD_j are asked.

    Guess: the most frequent value j of the records with the right a (or the right b), 17 %, computed (a
    random one of them 14 %). Finding the record and ignoring ORD_j gives 51 %.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("ruler/niah_multikey_3", SIDE * SIDE, 2, SLOTS, 2 * SIDE, layout)

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(SIDE, self.num_classes) / SIDE

    def _draw_keys(self, rng: np.random.Generator, batch: int, count: int) -> np.ndarray:
        names = self.layout.name_start + distinct_integers(rng, batch, 2 * SIDE, self.layout.names)
        cells = rng.permuted(np.broadcast_to(np.arange(count), (batch, count)), axis=1)
        first = np.take_along_axis(names, cells // SIDE, 1)
        return np.dstack([first, np.take_along_axis(names, SIDE + cells % SIDE, 1)])
