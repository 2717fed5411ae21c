"""Token layout of every task: which ids are control tokens, answers, markers, names and background.

Class `c` is written as token `5 + c` in the guarded tasks: one head, one meaning. The reference tasks share
ids 0..68 and treat everything above as filler.
"""

from __future__ import annotations

from dataclasses import dataclass

PAD, BOS, EOS, SEP, QUERY = range(5)
ANSWER_START = 5
NUM_CLASSES = 64
VOCAB_SIZE = 4096

MARKERS = (
    "ASSIGN", "COPY", "ADD", "DRAFT", "FINAL", "MARK", "DOC", "SECTION", "FACT", "DEF", "CALL", "EXAMPLE",
    "CUE",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Consecutive id ranges: control, answers, markers, ordinals, relations, names, background.

    Raises
    ------
    ValueError
        If the ranges do not leave room for at least one background id, or a range is too small.
    """

    num_classes: int = NUM_CLASSES
    markers: int = 16
    ordinals: int = 16
    relations: int = 16
    names: int = 1024
    vocab_size: int = VOCAB_SIZE

    def __post_init__(self) -> None:
        if self.markers < len(MARKERS):
            raise ValueError(f"markers: expected at least {len(MARKERS)} ids, got {self.markers}")
        for field in ("num_classes", "ordinals", "relations", "names"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: expected at least 1 id, got {getattr(self, field)}")
        if self.background_start >= self.vocab_size:
            raise ValueError(
                f"vocab_size: this layout needs at least {self.background_start + 1} ids, "
                f"got {self.vocab_size}"
            )

    @property
    def answer_stop(self) -> int:
        """One past the last answer id; also the first filler id of the reference tasks."""
        return ANSWER_START + self.num_classes

    @property
    def marker_start(self) -> int:
        return self.answer_stop

    @property
    def ordinal_start(self) -> int:
        return self.marker_start + self.markers

    @property
    def relation_start(self) -> int:
        return self.ordinal_start + self.ordinals

    @property
    def name_start(self) -> int:
        return self.relation_start + self.relations

    @property
    def name_stop(self) -> int:
        return self.name_start + self.names

    @property
    def background_start(self) -> int:
        return self.name_stop

    def marker(self, name: str) -> int:
        """Id of the record marker called `name`; raises ValueError if there is none."""
        if name not in MARKERS:
            raise ValueError(f"unknown marker {name!r}; available: {', '.join(MARKERS)}")
        return self.marker_start + MARKERS.index(name)


LAYOUT = Layout()
