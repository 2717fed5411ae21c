"""How well scores order the entries that compete for the same bytes: the loss and the measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor

from synapnet_edge.memory.retention import FEATURES
from synapnet_edge.training.retention_examples import Examples


def decisions(data: Examples) -> list[Tensor]:
    """int64 indices of the examples of every decision; a decision's examples stand next to each other."""
    sizes = torch.unique_consecutive(data.group, return_counts=True)[1]
    return list(torch.arange(len(data.group)).split(sizes.tolist()))


def side_by_side(members: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Indices [G, m] of the examples of G decisions, live [G, m] bool: false where one has fewer than m."""
    index = torch.nn.utils.rnn.pad_sequence(list(members), batch_first=True, padding_value=-1)
    return index.clamp_min(0), index >= 0


def ranking_loss(score: Tensor, label: Tensor, live: Tensor) -> Tensor:
    """Logistic loss of every pair of entries that compete, weighted by what is at stake between them.

    LambdaRank (Burges, 2010) for a budget nobody knows yet: if its logarithm is uniform between one entry
    and all m, the r-th best is kept with probability 1 - ln r / ln m. Swapping two entries then changes
    what is kept of the labels by the difference of their labels times that of their ln ranks, over ln m;
    this is a pair's weight, as a share of all labels. Only differences within a decision count, so that
    nothing has to be learned of the level of a layer or of a late chunk.

    Parameters
    ----------
    score, label : Tensor
        float32 [G, m], labels at least 0.
    live : Tensor
        bool [G, m], false for padding.

    Returns
    -------
    Tensor
        Scalar, the mean over decisions; one all of whose labels are equal adds 0. Takes memory for G m^2.
    """
    label = label * live
    order = score.detach().masked_fill(~live, -torch.inf).argsort(dim=1, descending=True, stable=True)
    place = torch.arange(1, score.shape[1] + 1, device=score.device).float().log().expand_as(score)
    rank = torch.empty_like(place).scatter_(1, order, place)
    pairs = (live[:, :, None] & live[:, None, :]).float()
    better = (label[:, :, None] - label[:, None, :]).clamp_min(0.0)
    moved = (rank[:, :, None] - rank[:, None, :]).abs()
    loss = pairs * better * moved * F.softplus(score[:, None, :] - score[:, :, None])
    scale = label.sum(dim=1) * live.sum(dim=1).clamp_min(2).log()
    return (loss.sum(dim=(1, 2)) / scale.clamp_min(1e-6)).mean()


def grouped_ranking(
    score: np.ndarray, future: np.ndarray, group: np.ndarray, top_share: float
) -> tuple[float, float]:
    """Mean over groups of the AUC for "in the top share by `future`" and of Spearman's correlation.

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
