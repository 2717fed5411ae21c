"""Background of any length that may stand before a task's row: `Task.haystack` names one of these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synapnet_edge.tasks.layout import LAYOUT, VOCAB_SIZE
from synapnet_edge.tasks.reference.protocol import FILLER_START
from synapnet_edge.tasks.ruler.haystack import background

Haystack = Callable[[np.random.Generator, int], np.ndarray]  # (random stream, tokens) -> ids [tokens] int64


def _reference(rng: np.random.Generator, tokens: int) -> np.ndarray:
    return rng.integers(FILLER_START, VOCAB_SIZE, tokens, dtype=np.int64)


def _guarded(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """With its decoys; 1 in 1,000 of its tokens begins a pair by chance, that of a row's name 1 in 10^6."""
    return background(rng, 1, tokens, LAYOUT)[0]


def _crowded(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """Reference filler by Zipf's law: as many markers and names, the lowest ids, as in a long haystack."""
    ids = VOCAB_SIZE - FILLER_START
    rank = np.floor((ids + 1) ** rng.random(tokens)).astype(np.int64)  # 1 to ids, density 1 / rank
    return FILLER_START - 1 + np.minimum(rank, ids)


HAYSTACKS: dict[str, Haystack] = {"reference": _reference, "guarded": _guarded}
#: Those of which some ids look more like what is asked for than others, with more of them.
CROWDED: dict[str, Haystack] = {"reference": _crowded}
