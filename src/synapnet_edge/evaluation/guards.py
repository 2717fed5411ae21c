"""Solvers without a model that show what a task gives away, and checks of its labels.

A guarded task is honest if each solver stays at the bound the task states (`Task.guess`). All of them read
`input_ids` only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from synapnet_edge.tasks.layout import ANSWER_START, LAYOUT, NUM_CLASSES

Solver = Callable[["Context", np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Context:
    """What a heuristic may look at.

    Attributes
    ----------
    body : [B, L - tail] int64
        The row without its query block.
    answers : range
        Token ids that can be an answer; label = token - answers.start.
    names : range
        Token ids that can precede an answer in a record.
    """

    body: np.ndarray
    answers: range = range(ANSWER_START, ANSWER_START + NUM_CLASSES)
    names: range = range(LAYOUT.name_start, LAYOUT.name_stop)

    @property
    def answer_mask(self) -> np.ndarray:
        return _inside(self.body, self.answers)

    @property
    def bigram_mask(self) -> np.ndarray:
        """Where an answer directly follows a name."""
        mask = np.zeros(self.body.shape, dtype=bool)
        mask[:, 1:] = self.answer_mask[:, 1:] & _inside(self.body[:, :-1], self.names)
        return mask

    def last_tokens(self, count: int) -> Context:
        """The same context cut to its last `count` tokens."""
        return Context(self.body[:, -count:], self.answers, self.names)


def first_answer(context: Context, rng: np.random.Generator) -> np.ndarray:
    """The first answer token."""
    return _label_at(context, context.answer_mask.argmax(1))


def last_answer(context: Context, rng: np.random.Generator) -> np.ndarray:
    """The last answer token."""
    return _label_at(context, context.body.shape[1] - 1 - context.answer_mask[:, ::-1].argmax(1))


def random_answer(context: Context, rng: np.random.Generator) -> np.ndarray:
    """A random answer token of the context."""
    return _random_label(context, context.answer_mask, rng)


def most_frequent_answer(context: Context, rng: np.random.Generator) -> np.ndarray:
    """The answer that occurs most often, ties at random."""
    counts = _counts(context.body, context.answers)
    return (counts + rng.random(counts.shape)).argmax(1)


def rarest_answer(context: Context, rng: np.random.Generator) -> np.ndarray:
    """The answer that occurs least often among those that occur, ties at random."""
    counts = _counts(context.body, context.answers).astype(float)
    counts[counts == 0] = np.inf
    return (counts + rng.random(counts.shape)).argmin(1)


def any_bigram(context: Context, rng: np.random.Generator) -> np.ndarray:
    """The answer of a random name-answer bigram; a random answer where there is none."""
    return _random_label(context, context.bigram_mask, rng)


def most_frequent_name(context: Context, rng: np.random.Generator) -> np.ndarray:
    """The answer behind the record name that occurs most often in the body, ties at random."""
    mask = context.bigram_mask
    counts = _counts(context.body, context.names)
    named = np.zeros(mask.shape, dtype=bool)
    named[:, :-1] = mask[:, 1:]
    index = np.where(named, context.body - context.names.start, 0)
    weight = np.where(named, np.take_along_axis(counts, index, 1) + rng.random(mask.shape), -1.0)
    position = np.minimum(weight.argmax(1) + 1, context.body.shape[1] - 1)
    found = _label_at(context, position)
    return np.where(mask.any(1), found, random_answer(context, rng))


def window_bigram(tokens: int) -> Solver:
    """`any_bigram` restricted to the last `tokens` tokens: what a short context can do."""

    def solve(context: Context, rng: np.random.Generator) -> np.ndarray:
        return any_bigram(context.last_tokens(tokens), rng)

    return solve


HEURISTICS: dict[str, Solver] = {
    "first_answer": first_answer,
    "last_answer": last_answer,
    "random_answer": random_answer,
    "most_frequent_answer": most_frequent_answer,
    "rarest_answer": rarest_answer,
    "any_bigram": any_bigram,
    "most_frequent_name": most_frequent_name,
    "window_64": window_bigram(64),
    "window_256": window_bigram(256),
    "window_512": window_bigram(512),
}


def heuristic_scores(context: Context, labels: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Accuracy of every heuristic against `labels` [B]."""
    return {name: float((solve(context, rng) == labels).mean()) for name, solve in HEURISTICS.items()}


def balance_p_value(labels: np.ndarray, classes: int = NUM_CLASSES) -> float:
    """Chi-square p value of "all classes equally likely"."""
    return float(stats.chisquare(np.bincount(labels, minlength=classes)).pvalue)


def standard_error(share: float, n: int) -> float:
    """Binomial standard error of an accuracy of `share` over `n` rows."""
    return float(np.sqrt(max(share * (1 - share), 0.0) / n))


def bag_of_tokens(body: np.ndarray, buckets: int = 256) -> np.ndarray:
    """Order-free features [B, 64 + buckets]: counts of answer tokens and of hashed names."""
    names = range(LAYOUT.name_start, LAYOUT.name_stop)
    hashed = _counts(body, names)
    folded = np.zeros((len(body), buckets), dtype=np.int64)
    np.add.at(folded.T, np.arange(len(names)) % buckets, hashed.T)
    return np.concatenate([_counts(body, range(ANSWER_START, LAYOUT.answer_stop)), folded], axis=1)


def hashed_positions(tokens: np.ndarray, buckets: int = 64) -> np.ndarray:
    """One-hot features [B, T * buckets] of the hashed token at each of T positions (linear probe)."""
    rows, width = tokens.shape
    # A multiplicative hash: neighbouring ids must not share a bucket by construction.
    bucket = (tokens * 2654435761 % 2**32) * buckets >> 32
    features = np.zeros((rows, width, buckets), dtype=np.float64)
    np.put_along_axis(features, bucket[:, :, None], 1.0, 2)
    return features.reshape(rows, -1)


def logistic_probe(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int = NUM_CLASSES,
    penalty: float = 0.1,
    iterations: int = 60,
) -> float:
    """Held-out accuracy of a multinomial logistic regression, see `logistic_scores`.

    Parameters
    ----------
    train, test : (features [B, F], labels [B])
    """
    scores = logistic_scores(train, test[0], classes, penalty, iterations)
    return float((scores.argmax(1) == test[1]).mean())


def logistic_scores(
    train: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    classes: int = NUM_CLASSES,
    penalty: float = 0.1,
    iterations: int = 60,
) -> np.ndarray:
    """Scores [B, classes] that a multinomial logistic regression gives to `test` [B, F].

    Parameters
    ----------
    train : (features [N, F], labels [N])
    test : features [B, F]
    penalty : float
        Weight of the squared norm. 0.1 is where the probe on bags of answer tokens reaches the accuracy of
        "most frequent answer" on a few thousand rows; much less overfits and would pass a leaky task.
    """
    features, labels = _standardise(train[0], train[0]), train[1]
    rows, width = features.shape
    one_hot = np.eye(classes)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(width, classes)
        logits = features @ weights
        log_total = special.logsumexp(logits, axis=1)
        value = (log_total - (logits * one_hot).sum(1)).mean() + penalty * (weights**2).sum() / 2
        error = np.exp(logits - log_total[:, None]) - one_hot
        return value, (features.T @ error / rows + penalty * weights).ravel()

    start = np.zeros(width * classes)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    return _standardise(test, train[0]) @ found.x.reshape(width, classes)


def table_probe(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """Held-out accuracy of "the label a token had most often in training", from (tokens [B], labels [B])."""
    counts: dict[int, np.ndarray] = {}
    for token, label in zip(*train, strict=True):
        counts.setdefault(int(token), np.zeros(NUM_CLASSES, dtype=int))[label] += 1
    default = np.bincount(train[1], minlength=NUM_CLASSES)
    predicted = [int(counts.get(int(token), default).argmax()) for token in test[0]]
    return float((np.array(predicted) == test[1]).mean())


def row_hashes(input_ids: np.ndarray) -> set[bytes]:
    """The rows' bytes, to compare splits."""
    return {row.tobytes() for row in input_ids}


def _standardise(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Features scaled by the reference's mean and deviation, with a constant column."""
    deviation = reference.std(0)
    scaled = (features - reference.mean(0)) / np.where(deviation > 0, deviation, 1.0)
    return np.column_stack([scaled, np.ones(len(features))])


def _inside(ids: np.ndarray, tokens: range) -> np.ndarray:
    return (ids >= tokens.start) & (ids < tokens.stop)


def _counts(ids: np.ndarray, tokens: range) -> np.ndarray:
    """How often every id of `tokens` occurs in each row, [B, len(tokens)]."""
    row, column = np.nonzero(_inside(ids, tokens))
    counts = np.zeros((len(ids), len(tokens)), dtype=np.int64)
    np.add.at(counts, (row, ids[row, column] - tokens.start), 1)
    return counts


def _label_at(context: Context, position: np.ndarray) -> np.ndarray:
    token = np.take_along_axis(context.body, position[:, None], 1)[:, 0]
    return token - context.answers.start


def _random_label(context: Context, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Label of a random marked token; a random class where a row has none."""
    weight = np.where(mask, rng.random(mask.shape), -1.0)
    found = _label_at(context, weight.argmax(1))
    return np.where(mask.any(1), found, rng.integers(0, len(context.answers), len(mask)))
