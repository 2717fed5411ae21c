"""A task that a few numbers describe: records of names and values in a background, one of them asked."""

from __future__ import annotations

from functools import cached_property

from synapnet_edge.tasks.layout import LAYOUT, Layout
from synapnet_edge.tasks.reference.pairs import expected_top_multiplicity
from synapnet_edge.tasks.ruler.records import RecordTask

MOST_RECORDS = 256


class DescribedRecords(RecordTask):
    """Retrieve one value of the record with the asked names.

    Row: BOS, background with the records at independent uniform places, the tail of eight tokens. A record is
    its names, which no other record has, and its values, which are independent. The question is QUERY, the
    names, ORD_j if records have several values (j counts from 0), SEP.

    Parameters
    ----------
    name : str
        Registry name; what stands before the slash is the suite.
    records : int
        Records of a row, at least two: a single one is found without reading the question.
    keys, values : int
        Names and values of a record.
    version : int
        To be raised with every change of the other numbers.
    layout : Layout
        Token ranges.

    Raises
    ------
    ValueError
        If a number is out of range, the question does not fit in the tail, or the layout has too few names or
        ordinals.

    Notes
    -----
    Guess (computed): the most frequent value of all records if they have one value each, else the most
    frequent value of the right record, its place ignored. It supposes that records are told from the
    background.
    """

    def __init__(
        self,
        name: str,
        records: int,
        keys: int = 1,
        values: int = 1,
        version: int = 1,
        layout: Layout = LAYOUT,
    ) -> None:
        for key, found, low, high in (
            ("records", records, 2, MOST_RECORDS),
            ("keys", keys, 1, 4),
            ("values", values, 1, layout.ordinals),
            ("version", version, 1, 10**6),
        ):
            if not isinstance(found, int) or isinstance(found, bool) or not low <= found <= high:
                raise ValueError(f"{key}: found {found!r}, expected a whole number from {low} to {high}")
        super().__init__(name, records, keys, values, records * keys, layout)
        self.suite = name.partition("/")[0]
        self.version = version

    def guess(self, length: int) -> float:
        return self._guess

    @cached_property
    def _guess(self) -> float:
        candidates = self.records if self.slots == 1 else self.slots
        return expected_top_multiplicity(candidates, self.num_classes) / candidates
