"""Scores of short class sequences: several read-outs of a row compared as one output.

Our own definitions on classes instead of words or characters. ROUGE-L is the F1 of the longest common
subsequence (the LongBench scorer's package works on de-duplicated words and differs); edit similarity is one
minus the edit distance divided by the longer length (the LongBench scorer rounds a ratio of matching blocks).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def longest_common_subsequence(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Length of the longest sequence that both contain in order, not necessarily without gaps.

    Bit-parallel (Hyyrö 2004): a row of the table is one integer, a set bit is a column where it grows.
    """
    places: dict[Hashable, int] = {}
    for column, item in enumerate(second):
        places[item] = places.get(item, 0) | 1 << column
    row = 0
    for item in first:
        grown = row | places.get(item, 0)
        row = grown & ~(grown - (row << 1 | 1))
    return row.bit_count()


def edit_distance(first: Sequence[int], second: Sequence[int]) -> int:
    """Fewest insertions, deletions and substitutions that turn one sequence into the other."""
    row = list(range(len(second) + 1))
    for line, item in enumerate(first, start=1):
        previous = row
        row = [line]
        for column, other in enumerate(second):
            substituted = previous[column] + (item != other)
            row.append(min(substituted, previous[column + 1] + 1, row[column] + 1))
    return row[-1]


def rouge_l(prediction: Sequence[int], reference: Sequence[int]) -> float:
    """F1 of the longest common subsequence; two empty sequences agree."""
    if not len(prediction) and not len(reference):
        return 1.0
    return 2 * longest_common_subsequence(prediction, reference) / (len(prediction) + len(reference))


def edit_similarity(prediction: Sequence[int], reference: Sequence[int]) -> float:
    """1 - edit distance / longer length; two empty sequences agree."""
    longer = max(len(prediction), len(reference))
    return 1.0 - edit_distance(prediction, reference) / longer if longer else 1.0


def exact_match(prediction: Sequence[int], reference: Sequence[int]) -> float:
    """1 if the sequences are equal, else 0."""
    return float(list(prediction) == list(reference))


SEQUENCE_METRICS = {"rouge_l": rouge_l, "edit_similarity": edit_similarity, "exact_match": exact_match}
