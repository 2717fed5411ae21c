"""Train the retention classifier on what full-memory passes really read later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor
from tqdm import tqdm

from synapnet_edge.memory.retention import FEATURES, RetentionClassifier
from synapnet_edge.memory.traces import ReadTrace
from synapnet_edge.models.state import UnboundedStore
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.tasks.base import split_id
from synapnet_edge.tasks.mixture import Mixture

# The tasks the model was trained on; the eviction grid's own task is left out, so that it is a transfer.
DEFAULT_MIXTURE: dict[str, float] = {
    "reference/niah_single": 1.0,
    "reference/niah_multi_key": 1.0,
    "ruler/niah_multikey_1": 1.0,
}


@dataclass(frozen=True)
class RetentionSettings:
    """How traces are drawn and the classifier is fitted.

    Attributes
    ----------
    documents : int
        Sequences whose reads are recorded; the last `holdout` of them are for validation only.
    length : int
        Tokens of a document.
    epochs : int
    mixture : mapping
        Task to weight.
    readouts : int
        Questions per document.
    batch : int
        Documents per pass of the model.
    groups : int
        Decisions per document: random (chunk, layer) pairs, all of whose entries become examples.
    hidden, learning_rate, minibatch
        Width of the classifier, Adam's rate, examples per step.
    holdout : float
        Share of documents.
    epsilon : float
        The label is log(future read mass + epsilon); masses below epsilon are told apart no further.
    top_share : float
        For the AUC, an entry is positive if it is in this share of its group by future mass.
    """

    documents: int = 64
    length: int = 1024
    epochs: int = 20
    mixture: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIXTURE))
    readouts: int = 8
    batch: int = 8
    groups: int = 12
    hidden: int = 16
    learning_rate: float = 3e-3
    minibatch: int = 1024
    holdout: float = 0.25
    epsilon: float = 1e-2
    top_share: float = 0.2

    def __post_init__(self) -> None:
        for key in ("documents", "length", "epochs", "readouts", "batch", "groups", "hidden", "minibatch"):
            if getattr(self, key) < 1:
                raise ValueError(f"retention: {key} must be at least 1, got {getattr(self, key)}")
        if not 1 <= self.held_out < self.documents:
            raise ValueError(
                f"retention: holdout {self.holdout} of {self.documents} documents leaves a side empty"
            )

    @property
    def held_out(self) -> int:
        """Number of validation documents."""
        return round(self.documents * self.holdout)

    @classmethod
    def from_dict(cls, cfg: Mapping[str, Any]) -> RetentionSettings:
        """Read a configuration block; raises ValueError for an unknown key."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        if set(cfg) - known:
            found = sorted(set(cfg) - known)
            raise ValueError(f"retention: unknown keys {found}, expected some of {sorted(known)}")
        return cls(**cfg)


class Examples(NamedTuple):
    """Entries at a moment of decision.

    Attributes
    ----------
    values, features : Tensor
        float16 [n, D] and float32 [n, 4]: all the classifier sees.
    future : Tensor
        float32 [n], read mass received in later chunks.
    group : Tensor
        int64 [n], the decision (document, chunk, layer) an example belongs to.
    """

    values: Tensor
    features: Tensor
    future: Tensor
    group: Tensor


def train_retention(
    model: SynapNetEdge, cfg: Mapping[str, Any], seed: int, autocast: bool = False, progress: bool = True
) -> tuple[RetentionClassifier, pd.DataFrame]:
    """Record full-memory passes of `model`, split by document, fit the classifier.

    The backbone is only read: its passes run without gradients and the classifier's loss cannot reach it.

    Parameters
    ----------
    cfg : mapping
        See `RetentionSettings`.
    seed : int
        Seed of documents, decisions, initialisation and order.
    autocast : bool
        Record the passes under bfloat16 autocast.

    Returns
    -------
    classifier : RetentionClassifier
    table : DataFrame
        One row per epoch: epoch, train_loss, validation_loss, validation_auc and validation_rank_correlation
        (both mean over decisions: how well entries that compete for the same bytes are ordered). The same in
        every row: the controls shuffled_auc (trained and tested on shuffled labels), best_feature and
        best_feature_auc (one scalar alone, direction chosen on the training documents), and parameters,
        documents, train_examples, validation_examples.
    """
    settings = RetentionSettings.from_dict(cfg)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split_id("classifier"),)))
    train, validation = collect_examples(model, settings, rng, autocast=autocast, progress=progress)
    classifier, history = _fit(train, validation, settings, seed, progress)
    order = torch.Generator().manual_seed(seed)
    _, shuffled = _fit(_shuffle(train, order), _shuffle(validation, order), settings, seed, False)
    feature, feature_auc = _best_feature(train, validation, settings.top_share)
    table = pd.DataFrame(history).assign(
        shuffled_auc=shuffled[-1]["validation_auc"],
        best_feature=feature,
        best_feature_auc=feature_auc,
        parameters=classifier.n_parameters,
        documents=settings.documents,
        train_examples=len(train.future),
        validation_examples=len(validation.future),
    )
    return classifier.eval(), table


@torch.inference_mode()
def collect_examples(
    model: SynapNetEdge,
    settings: RetentionSettings,
    rng: np.random.Generator,
    *,
    autocast: bool = False,
    progress: bool = False,
) -> tuple[Examples, Examples]:
    """Training and validation examples, from different documents.

    Raises
    ------
    ValueError
        If documents are not longer than one chunk: nothing is ever read.
    """
    model.eval()
    mixture = Mixture(settings.mixture)
    sides: tuple[list[Examples], list[Examples]] = ([], [])
    first_held_out = settings.documents - settings.held_out
    with tqdm(total=settings.documents, desc="retention traces", unit="doc", disable=not progress) as bar:
        done = 0
        while done < settings.documents:
            bound = first_held_out if done < first_held_out else settings.documents
            size = min(settings.batch, bound - done)  # a batch never crosses the split
            ids = mixture.batch(rng, size, settings.length, settings.readouts).input_ids
            store, slots = _full_pass(model, np.ascontiguousarray(ids), autocast)
            side = sides[done >= first_held_out]
            side.append(_examples(model.cfg.depth, store, slots, size, settings.groups, rng, len(side)))
            done += size
            bar.update(size)
    return _join(sides[0]), _join(sides[1])


def _full_pass(model: SynapNetEdge, ids: np.ndarray, autocast: bool) -> tuple[UnboundedStore, int]:
    """Stream the documents [B, T] with unbounded memory; the store with its reads, and entries per chunk."""
    store = UnboundedStore(record_mass=True)
    state = model.init_state(len(ids), store=store)
    device = model.embed.token.weight.device
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        model.step(torch.from_numpy(ids).to(device), state)
    return store, state.slots


def _examples(
    depth: int,
    store: UnboundedStore,
    slots: int,
    documents: int,
    groups: int,
    rng: np.random.Generator,
    block: int,
) -> Examples:
    """Examples of one full-memory pass; `block` makes the group numbers of passes distinct."""
    trace = ReadTrace.from_store(store, depth, slots)
    views = [store.read(layer) for layer in range(depth)]
    parts = []
    for row in range(documents):
        for choice in range(groups):
            chunk, layer = int(rng.integers(trace.chunks - 1)), int(rng.integers(depth))
            alive = int((trace.written <= chunk).sum())
            features = RetentionClassifier.features(
                log_salience=views[layer].bias[row, :alive].cpu(),
                age=chunk - trace.written[:alive],
                mass=trace.accumulated(chunk)[layer, row, :alive],
                layer_fraction=layer / max(1, depth - 1),
            )
            values = views[layer].values[row, :, :alive].transpose(0, 1).flatten(1).half().cpu()
            future = trace.future(chunk)[layer, row, :alive].float()
            number = (block * 4096 + row) * groups + choice
            parts.append(Examples(values, features, future, torch.full((alive,), number)))
    return _join(parts)


def _fit(
    train: Examples, validation: Examples, settings: RetentionSettings, seed: int, progress: bool
) -> tuple[RetentionClassifier, list[dict[str, float]]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = RetentionClassifier(train.values.shape[1], settings.hidden)
    classifier.feature_mean.copy_(train.features.mean(dim=0))
    classifier.feature_std.copy_(train.features.std(dim=0).clamp_min(1e-3))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=settings.learning_rate)
    order = torch.Generator().manual_seed(seed)
    label = (train.future + settings.epsilon).log()
    history = []
    for epoch in tqdm(range(settings.epochs), desc="retention fit", unit="epoch", disable=not progress):
        total = 0.0
        for index in torch.randperm(len(label), generator=order).split(settings.minibatch):
            loss = F.smooth_l1_loss(classifier(train.values[index], train.features[index]), label[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(index)
        losses = {"epoch": epoch + 1, "train_loss": total / len(label)}
        history.append(losses | _validate(classifier, validation, settings))
    return classifier, history


@torch.no_grad()
def _validate(
    classifier: RetentionClassifier, data: Examples, settings: RetentionSettings
) -> dict[str, float]:
    predicted = classifier(data.values, data.features)
    loss = F.smooth_l1_loss(predicted, (data.future + settings.epsilon).log())
    auc, correlation = grouped_ranking(
        predicted.numpy(), data.future.numpy(), data.group.numpy(), settings.top_share
    )
    return {"validation_loss": float(loss), "validation_auc": auc, "validation_rank_correlation": correlation}


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


def _best_feature(train: Examples, validation: Examples, top_share: float) -> tuple[str, float]:
    """Scalar feature that alone orders the validation groups best."""
    scores = {}
    for index, name in enumerate(FEATURES):
        aucs = [
            grouped_ranking(x.features[:, index].numpy(), x.future.numpy(), x.group.numpy(), top_share)[0]
            for x in (train, validation)
        ]
        scores[name] = aucs[1] if aucs[0] >= 0.5 else 1 - aucs[1]
    best = max(scores, key=lambda name: -1.0 if np.isnan(scores[name]) else scores[name])
    return best, scores[best]


def _shuffle(data: Examples, generator: torch.Generator) -> Examples:
    """Labels permuted inside each group: everything but the link from entry to future stays."""
    key = data.group.double() + torch.rand(len(data.group), generator=generator, dtype=torch.float64)
    shuffled = torch.empty_like(data.future)
    shuffled[data.group.argsort(stable=True)] = data.future[key.argsort()]
    return data._replace(future=shuffled)


def _join(parts: list[Examples]) -> Examples:
    return Examples(*(torch.cat(column) for column in zip(*parts, strict=True)))
