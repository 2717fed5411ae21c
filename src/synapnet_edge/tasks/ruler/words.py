"""cwe and fwe: the common words of a list and the frequent words of a coded text.

After RULER's tasks of those names (arXiv 2404.06654). All permutations are drawn per row; there, one fixed
permutation puts the answers at fixed places.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache

import numpy as np

from synapnet_edge.tasks.base import IGNORE
from synapnet_edge.tasks.blocks import distinct_integers, with_readouts, write_blocks
from synapnet_edge.tasks.layout import ANSWER_START, BOS, LAYOUT, QUERY, SEP, Layout
from synapnet_edge.tasks.ruler.haystack import TAIL, is_answer
from synapnet_edge.tasks.sets import SetBatch, SetTask, recall_at, with_set

BLOCK = 2
WINDOW = 512
COMMON = 10
FREQUENT = 3
DISTINCT = 3000
DRAWS = 4000
BURST = 0.25


class WordTask(SetTask):
    """The m answer tokens that occur most often; a block is QUERY, SEP.

    A training block stands only where the m most frequent answer tokens of the prefix occur at least twice
    and more often than the next. What words and blocks of a training row leave free is background before the
    tail.

    Parameters
    ----------
    name : str
        Registry name.
    least : int
        Words of the shortest row.
    members : int
        Right answers.
    layout : Layout
        Token ranges.
    """

    haystack = None  # it would change the counts

    def __init__(self, name: str, least: int, members: int, layout: Layout = LAYOUT) -> None:
        super().__init__(name, 1 + least + TAIL, members, layout)
        self.least = self.min_length - 1 - TAIL

    def guess(self, length: int) -> float:
        window = self.window_recall(length, min(WINDOW, length // 4))
        return max(window, sampled_recall(tuple(self._occurrences(length)), self.members))

    def oracle(self, input_ids: np.ndarray) -> np.ndarray:
        counts = self.counts(input_ids)
        order = (-counts).argsort(1, kind="stable")
        members = np.zeros(counts.shape, dtype=bool)
        np.put_along_axis(members, order[:, : self.members], True, 1)
        return members

    def counts(self, tokens: np.ndarray) -> np.ndarray:
        """Occurrences of every answer token in each row, [B, 64]."""
        return self._counts(tokens, np.zeros(tokens.shape, dtype=np.int64), 1)[:, 0]

    @abstractmethod
    def _words(self, rng: np.random.Generator, batch: int, count: int, length: int) -> np.ndarray:
        """The words of rows of `length` tokens, [B, count]."""

    @abstractmethod
    def window_recall(self, length: int, window: int) -> float:
        """Recall of the most frequent answer tokens of the last `window` words."""

    @abstractmethod
    def _occurrences(self, length: int) -> list[int]:
        """How often the 64 answer tokens of a row occur, the members first."""

    def _counts(self, tokens: np.ndarray, segment: np.ndarray, segments: int) -> np.ndarray:
        """Occurrences of every answer token per segment [B, segments, 64]; `segment` [B, N] numbers them."""
        row, column = np.nonzero(is_answer(tokens, self.layout))
        label = tokens[row, column] - ANSWER_START
        flat = (row * segments + segment[row, column]) * self.num_classes + label
        size = len(tokens) * segments * self.num_classes
        return np.bincount(flat, minlength=size).reshape(len(tokens), segments, self.num_classes)

    def _build(self, rng: np.random.Generator, batch: int, length: int, readouts: int) -> SetBatch:
        room = length - 1 - TAIL
        # Blocks take at most a quarter of a row, so that its words keep their frequencies.
        inner = min(readouts - 1, (room - self.least) // BLOCK, room // (4 * BLOCK))
        words = self._words(rng, batch, room - BLOCK * inner, length)
        cuts, labels = self._choose_cuts(rng, words, inner)
        present = cuts >= 0
        blocks = np.where(present, 1 + cuts + BLOCK * (np.cumsum(present, axis=1) - 1), -1)
        ids = rng.integers(self.layout.background_start, self.layout.vocab_size, (batch, length))
        ids[:, 0], ids[:, -BLOCK], ids[:, -1] = BOS, QUERY, SEP
        shift = np.zeros((batch, words.shape[1] + 1), dtype=np.int64)
        row, column = np.nonzero(present)
        shift[row, cuts[row, column]] = BLOCK
        places = 1 + np.arange(words.shape[1]) + np.cumsum(shift, axis=1)[:, :-1]
        np.put_along_axis(ids, places, words, 1)
        write_blocks(ids, blocks, BLOCK, None)
        members = self.oracle(words)
        last = np.nonzero(members)[1].reshape(batch, self.members)
        final = last[np.arange(batch), rng.integers(0, self.members, batch)]
        missing = readouts - 1 - inner
        blocks = np.pad(blocks, ((0, 0), (missing, 0)), constant_values=-1)
        labels = np.pad(labels, ((0, 0), (missing, 0)), constant_values=IGNORE)
        result = with_readouts(ids, blocks, BLOCK, labels, final)
        own = np.zeros((batch, self.layout.vocab_size), dtype=bool)
        own[:, ANSWER_START : ANSWER_START + self.num_classes] = members
        target = places[np.take_along_axis(own, words, 1)].reshape(batch, -1)
        result.meta = {"needle_pos": target, "target_needle": target, "depth": target[:, 0] / length}
        return with_set(result, members, self.members)

    def _choose_cuts(
        self, rng: np.random.Generator, words: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Up to `count` places between words, ascending, -1 first, and a member for each, both [B, count].

        A cut c stands before word c, behind c words.
        """
        batch, space = words.shape
        if count == 0:
            return np.empty((batch, 0), dtype=np.int64), np.empty((batch, 0), dtype=np.int64)
        tried = min(6 * count, space)
        cuts = np.sort(distinct_integers(rng, batch, tried, space), axis=1) + 1
        marks = np.zeros((batch, space + 1), dtype=np.int64)
        np.put_along_axis(marks, cuts, 1, 1)
        segment = np.cumsum(marks, axis=1)[:, :-1]
        counts = self._counts(words, segment, tried + 1)[:, :-1].cumsum(1)
        order = (-counts).argsort(2, kind="stable")
        ranked = np.take_along_axis(counts, order[:, :, : self.members + 1], 2)
        clear = ranked[:, :, -2] > np.maximum(ranked[:, :, -1], 1)
        label = np.take_along_axis(order, rng.integers(0, self.members, (batch, tried, 1)), 2)[:, :, 0]
        score = np.where(clear, rng.random((batch, tried)), -1.0)
        chosen = np.sort((-score).argsort(1, kind="stable")[:, :count], axis=1)
        found = np.take_along_axis(clear, chosen, 1)
        cuts = np.where(found, np.take_along_axis(cuts, chosen, 1), -1)
        order = cuts.argsort(1, kind="stable")
        return np.take_along_axis(cuts, order, 1), np.take_along_axis(
            np.take_along_axis(label, chosen, 1), order, 1
        )


class Cwe(WordTask):
    """The ten answer tokens that occur f_c times in a list of words; all other words occur f_u times.

    The other 54 answer tokens and as many names and background ids as fit occur f_u times, in random order.
    (f_c, f_u) is (6, 1) below 4096 tokens, else (30, 3); rows that would need more than 3000 distinct words
    raise f_u, and f_c to ten times f_u.

    Guess: the most frequent answer tokens of the last 512 words, at most a quarter of the row: recall 59 % at
    1024 tokens, 86 % at 4096, measured on 4000 draws (of the last 64: 36 and 42 %). Presence is
    uninformative.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        extra = layout.vocab_size - layout.name_start
        if extra < DISTINCT:
            raise ValueError(f"cwe needs {DISTINCT} names and background ids, only {extra} are available")
        super().__init__("ruler/cwe", 6 * COMMON + layout.num_classes - COMMON, COMMON, layout)

    def frequencies(self, length: int) -> tuple[int, int]:
        """f_c and f_u at `length` tokens."""
        if length < 4096:
            # Even the shortest rows of this range hold fewer than 4096 - 60 words once each.
            rare = -(-(length - 1 - TAIL - 6 * COMMON) // DISTINCT)
            return 6 * rare, rare
        rare = max(3, -(-(length - 1 - TAIL) // (DISTINCT + 10 * COMMON)))
        return 10 * rare, rare

    def _words(self, rng: np.random.Generator, batch: int, count: int, length: int) -> np.ndarray:
        common, rare = self.frequencies(length)
        others = count - common * COMMON
        answers = ANSWER_START + rng.permuted(
            np.broadcast_to(np.arange(self.num_classes), (batch, self.num_classes)), axis=1
        )
        distinct = -(-others // rare) - (self.num_classes - COMMON)
        extra = self.layout.vocab_size - self.layout.name_start
        more = self.layout.name_start + distinct_integers(rng, batch, distinct, extra)
        unique = np.concatenate([answers[:, COMMON:], more], axis=1)
        words = np.concatenate(
            [answers[:, :COMMON].repeat(common, axis=1), unique.repeat(rare, axis=1)[:, :others]], axis=1
        )
        return rng.permuted(words, axis=1)

    def window_recall(self, length: int, window: int) -> float:
        return common_recall(length - 1 - TAIL, window, tuple(self._occurrences(length)))

    def _occurrences(self, length: int) -> list[int]:
        common, rare = self.frequencies(length)
        return [common] * COMMON + [rare] * (self.num_classes - COMMON)


class Fwe(WordTask):
    """The answer tokens of ranks 2 to 4 in a text of words with Zipf frequencies of exponent 2.

    Rank 1 is one background id. Ranks 2 to 65 are answer tokens, later ones names, as far as a word of the
    rank occurs at all. A word stands only in a quarter of the row at a random place (words that meet there
    push each other to the right); the first rank takes the rest.

    Guess: the first three distinct answer tokens at random places of the row, recall 61 % at 1024 tokens,
    59 % at 4096, measured on 4000 draws. A short window at the end has little: the last 64 words 11 and 7 %,
    the last 256 words 32 and 10 %.
    """

    def __init__(self, layout: Layout = LAYOUT) -> None:
        super().__init__("ruler/fwe", 119, FREQUENT, layout)

    def _words(self, rng: np.random.Generator, batch: int, count: int, length: int) -> np.ndarray:
        counts = zipf_counts(count)
        answers = ANSWER_START + rng.permuted(
            np.broadcast_to(np.arange(self.num_classes), (batch, self.num_classes)), axis=1
        )
        names = max(len(counts) - self.num_classes, 0)
        more = self.layout.name_start + distinct_integers(rng, batch, names, self.layout.names)
        ranked = np.concatenate([answers, more], axis=1)[:, : len(counts)].repeat(counts, axis=1)
        begin = rng.random((batch, len(counts))) * (1 - BURST)
        wanted = begin.repeat(counts, axis=1) + BURST * rng.random(ranked.shape)
        order = wanted.argsort(1)
        wanted = (np.take_along_axis(wanted, order, 1) * count).astype(np.int64)
        number = np.arange(wanted.shape[1])
        places = number + np.maximum.accumulate(wanted - number, axis=1)
        places = np.minimum(places, count - wanted.shape[1] + number)
        noise = rng.integers(self.layout.background_start, self.layout.vocab_size, (batch, 1))
        words = noise.repeat(count, axis=1)
        np.put_along_axis(words, places, np.take_along_axis(ranked, order, 1), 1)
        return words

    def window_recall(self, length: int, window: int) -> float:
        return frequent_recall(self, length, window)

    def _occurrences(self, length: int) -> list[int]:
        ranked = zipf_counts(length - 1 - TAIL)[: self.num_classes].tolist()
        return ranked + [0] * (self.num_classes - len(ranked))


def zipf_counts(count: int) -> np.ndarray:
    """Occurrences of ranks 2, 3, .. among `count` words, every rank that occurs."""
    ranks = np.arange(2, count + 2)
    counts = (count * 6 / np.pi**2 / ranks**2).astype(np.int64)
    return counts[counts > 0]


@lru_cache(maxsize=64)
def sampled_recall(times: tuple[int, ...], members: int) -> float:
    """Recall of the first `members` distinct answer tokens at random places of the row, simulated."""
    rng = np.random.default_rng(0)
    seen = np.array(times)
    # Exponential waiting times with these rates come in the order of draws without replacement.
    waiting = rng.exponential(size=(DRAWS, len(seen))) / np.maximum(seen, 1e-9)
    return _recall(-waiting, members)


@lru_cache(maxsize=64)
def common_recall(count: int, window: int, times: tuple[int, ...]) -> float:
    """Recall of the most frequent answer tokens in `window` of `count` shuffled words, simulated."""
    rng = np.random.default_rng(0)
    each = np.array(times)
    seen = rng.hypergeometric(each, count - each, window, (DRAWS, len(each)))
    return _recall(seen + rng.random(seen.shape), COMMON)


@lru_cache(maxsize=64)
def frequent_recall(task: Fwe, length: int, window: int) -> float:
    """Recall of the most frequent answer tokens in the last `window` words, on rows of the task."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(8):
        rows = task.training_batch(rng, max(8, min(DRAWS, 2**22 // length) // 8), length, 1)
        seen = task.counts(rows.input_ids[:, -TAIL - window : -TAIL])
        found.append(recall_at(seen + rng.random(seen.shape), rows.target_set))
    return float(np.concatenate(found).mean())


def _recall(scores: np.ndarray, members: int) -> float:
    """Recall when the first `members` classes are right."""
    right = np.broadcast_to(np.arange(scores.shape[1]) < members, scores.shape)
    return float(recall_at(scores, right).mean())
