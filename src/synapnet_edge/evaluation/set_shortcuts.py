"""The heuristics of `guards` for tasks with several right answers: they score all classes, not name one."""

from __future__ import annotations

import numpy as np

from synapnet_edge.evaluation.guards import Context

WINDOWS = (64, 256, 512)


def set_shortcuts(context: Context, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Every heuristic's scores [B, classes]; classes that do not occur come last, ties are broken at random.

    A heuristic names the first or last distinct answers, those at random places, the most frequent or rarest
    ones, those behind a name at random or most often, and the most frequent ones of the last 64, 256 and 512
    tokens, at most a quarter of the row: a window over all of it would be the whole task of counting.
    """
    answers = context.answer_mask
    counts = answer_counts(context, answers)
    bigrams = answer_counts(context, context.bigram_mask)
    found = {
        "first_answers": -_first_place(context, answers),
        "last_answers": -_first_place(_reversed(context), answers[:, ::-1]),
        "random_answers": _drawn(counts, rng),
        "most_frequent_answers": counts,
        "rarest_answers": np.where(counts > 0, -counts, -np.inf),
        "any_bigrams": _drawn(bigrams, rng),
        "most_frequent_bigrams": bigrams,
    }
    for tokens in WINDOWS:
        recent = context.last_tokens(max(1, min(tokens, context.body.shape[1] // 4)))
        found[f"window_{tokens}_frequent"] = answer_counts(recent, recent.answer_mask)
    return {name: _untied(scores, rng) for name, scores in found.items()}


def answer_counts(context: Context, mask: np.ndarray) -> np.ndarray:
    """How often every class stands at a marked place, [B, classes] float."""
    row, column = np.nonzero(mask)
    counts = np.zeros((len(mask), len(context.answers)))
    np.add.at(counts, (row, context.body[row, column] - context.answers.start), 1.0)
    return counts


def _first_place(context: Context, mask: np.ndarray) -> np.ndarray:
    """Column of the first marked occurrence of every class, [B, classes]; infinite where there is none."""
    row, column = np.nonzero(mask)
    place = np.full((len(mask), len(context.answers)), np.inf)
    np.minimum.at(place, (row, context.body[row, column] - context.answers.start), column)
    return place


def _reversed(context: Context) -> Context:
    return Context(context.body[:, ::-1], context.answers, context.names)


def _drawn(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores whose order is that of draws of random occurrences, repeats left out."""
    with np.errstate(divide="ignore"):  # a class that does not occur comes last
        return np.log(counts) + rng.gumbel(size=counts.shape)


def _untied(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same order with ties broken at random, as ranks [B, classes]."""
    order = np.lexsort((rng.random(scores.shape), scores), axis=1)
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, order, np.arange(scores.shape[1], dtype=float)[None].repeat(len(scores), 0), 1)
    return ranks
