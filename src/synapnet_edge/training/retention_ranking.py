"""How well scores order the entries that compete for the same bytes."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from synapnet_edge.memory.retention import FEATURES
from synapnet_edge.training.retention_examples import Examples


def grouped_ranking(
    score: np.ndarray, future: np.ndarray, group: np.ndarray, top_share: float
) -> tuple[float, float]:
    """Mean over groups of the AUC for "in the top share by future mass" and of Spearman's correlation.

    Parameters
    ----------
    score, future, group : array
        [n]; ranking is judged inside each group. Ties count half in the AUC.
    top_share : float

    Returns
    -------
    auc, correlation : float
        Groups in which all futures are equal order nothing and are left out; nan if none is left.
    """
    aucs, correlations = [], []
    ends = np.cumsum(np.unique(group, return_counts=True)[1])[:-1]
    for members in np.split(np.argsort(group, kind="stable"), ends):
        later, rank = future[members], rankdata(score[members])
        positive = later > np.quantile(later, 1 - top_share)
        hits, misses = int(positive.sum()), int((~positive).sum())
        if not hits or not misses:
            continue
        aucs.append((rank[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))
        if rank.std() > 0:
            correlations.append(np.corrcoef(rank, rankdata(later))[0, 1])
    auc, correlation = (float(np.mean(x)) if x else float("nan") for x in (aucs, correlations))
    return auc, correlation


def feature_aucs(train: Examples, test: Examples, top_share: float) -> dict[str, float]:
    """AUC on `test` of every scalar feature alone; its direction is chosen on the training documents."""
    scores = {}
    for index, name in enumerate(FEATURES):
        aucs = [
            grouped_ranking(x.features[:, index].numpy(), x.future.numpy(), x.group.numpy(), top_share)[0]
            for x in (train, test)
        ]
        scores[name] = aucs[1] if aucs[0] >= 0.5 else 1 - aucs[1]
    return scores


def best_of(scores: dict[str, float]) -> tuple[str, float]:
    """The best feature and its AUC; nan counts as worst."""
    best = max(scores, key=lambda name: -1.0 if np.isnan(scores[name]) else scores[name])
    return best, scores[best]
