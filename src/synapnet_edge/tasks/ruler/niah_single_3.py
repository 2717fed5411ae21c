"""niah_single_3: one record `name v0 v1 v2 v3` in a background full of decoys, one of its values asked.

After RULER's task of that name (arXiv 2404.06654), whose value is a long identifier instead of a number.
"""

from __future__ import annotations

from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.records import RecordTask

SLOTS = 4


class NiahSingle3(RecordTask):
    """Retrieve value j of the only planted name; name and ORD_j are asked.

    Guess: the most frequent value of the record, 27 % (a random one 26 %), computed. A run of four answers is
    rare in the background, so the record can be found without its name.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("ruler/niah_single_3", 1, 1, SLOTS, 1, layout)

    def guess(self, length: int) -> float:
        return expected_top_multiplicity(SLOTS, self.num_classes) / SLOTS
