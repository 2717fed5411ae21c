"""Train the retention classifier on what the questions of full-memory passes read later."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from synapnet_edge.memory.retention import RetentionClassifier
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.tasks.base import split_id
from synapnet_edge.training.retention_examples import (
    Sides,
    collect_side,
    precedence,
    shuffled,
    with_label_noise,
)
from synapnet_edge.training.retention_ranking import (
    best_of,
    decisions,
    feature_aucs,
    grouped_ranking,
    ranking_loss,
    side_by_side,
)

# Of the tasks the model was trained on; the eviction grid's own tasks are left out: they are a transfer.
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
        Task to weight; of weights only whether they are 0 counts: the memory serves every task alike.
    held_out : tuple of str
        A family of tasks no training document is drawn from, also when the mixture has them: the
        classifier is tested on as many documents of these as there are validation documents.
    readouts : int
        Questions per document: their reads are the labels.
    batch : int
        Documents per pass of the model.
    groups : int
        Decisions per document: random (chunk, layer) pairs, all of whose entries become examples.
    hidden, learning_rate, decisions
        Width of the classifier, Adam's first rate (a cosine takes it to 0), decisions per step.
    holdout : float
        Share of documents.
    top_share : float
        For the AUC, an entry is positive if it is in this share of its group by what is read of it.
    """

    documents: int = 512
    length: int = 1024
    epochs: int = 6
    mixture: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIXTURE))
    held_out: tuple[str, ...] = ("reference/variable_track", "ruler/vt", "ruler/vt_1")
    readouts: int = 24
    batch: int = 8
    groups: int = 16
    hidden: int = 8
    learning_rate: float = 1e-2
    decisions: int = 8
    holdout: float = 0.1
    top_share: float = 0.2

    def __post_init__(self) -> None:
        for key in ("documents", "length", "epochs", "readouts", "batch", "groups", "hidden", "decisions"):
            if getattr(self, key) < 1:
                raise ValueError(f"retention: {key} must be at least 1, got {getattr(self, key)}")
        if not 1 <= self.validation_documents < self.documents:
            raise ValueError(
                f"retention: holdout {self.holdout} of {self.documents} documents leaves a side empty"
            )
        if not self.training_mixture:
            raise ValueError(f"retention: all tasks of the mixture are held out: {sorted(self.mixture)}")

    @property
    def validation_documents(self) -> int:
        """Number of documents held out for validation, at least one."""
        return max(1, round(self.documents * self.holdout))

    @property
    def training_mixture(self) -> dict[str, float]:
        """Tasks that training and validation documents are drawn from."""
        return {task: 1.0 for task, w in self.mixture.items() if w > 0 and task not in self.held_out}

    @classmethod
    def from_dict(cls, cfg: Mapping[str, Any]) -> RetentionSettings:
        """Read a configuration block; raises ValueError for an unknown key."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        if set(cfg) - known:
            found = sorted(set(cfg) - known)
            raise ValueError(f"retention: unknown keys {found}, expected some of {sorted(known)}")
        fixed = {key: tuple(value) if isinstance(value, list) else value for key, value in cfg.items()}
        return cls(**fixed)


def train_retention(
    model: SynapNetEdge, cfg: Mapping[str, Any], seed: int, autocast: bool = False, progress: bool = True
) -> tuple[RetentionClassifier, pd.DataFrame]:
    """Record full-memory passes of `model`, split by document and by task family, fit the classifier.

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
        (both mean over decisions: how well entries that compete for the same bytes are ordered), and the same
        two on documents of the held-out tasks (task_auc, task_rank_correlation; nan if none are held out).
        The same in every row: the controls shuffled_auc (trained and tested on shuffled labels),
        best_feature, best_feature_auc and best_feature_task_auc (one scalar alone: the one that orders the
        validation documents best, its direction chosen on the training documents), and parameters,
        documents, train_examples, validation_examples.
    """
    settings = RetentionSettings.from_dict(cfg)
    sides = collect_examples(model, settings, seed, autocast=autocast, progress=progress)
    classifier, history = fit(sides, settings, seed, progress)
    order = torch.Generator().manual_seed(seed)
    control = Sides(shuffled(sides.train, order), shuffled(sides.documents, order), None)
    _, chance = fit(control, settings, seed, False, each_epoch=False)
    feature, feature_auc = best_of(feature_aucs(sides.train, sides.documents, settings.top_share))
    elsewhere = float("nan")
    if sides.tasks is not None:
        elsewhere = feature_aucs(sides.train, sides.tasks, settings.top_share)[feature]
    table = pd.DataFrame(history).assign(
        shuffled_auc=chance[-1]["validation_auc"],
        best_feature=feature,
        best_feature_auc=feature_auc,
        best_feature_task_auc=elsewhere,
        parameters=classifier.n_parameters,
        documents=settings.documents,
        train_examples=len(sides.train.future),
        validation_examples=len(sides.documents.future),
    )
    return classifier.eval(), table


def collect_examples(
    model: SynapNetEdge,
    settings: RetentionSettings,
    seed: int,
    *,
    autocast: bool = False,
    progress: bool = False,
) -> Sides:
    """Training examples, and those of other documents and of the held-out tasks."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split_id("classifier"),)))
    held = {task: 1.0 for task in settings.held_out}
    count = settings.validation_documents
    total = settings.documents + (count if held else 0)
    shape = {name: getattr(settings, name) for name in ("length", "readouts", "groups", "batch")}
    with tqdm(total=total, desc="retention traces", unit="doc", disable=not progress) as bar:
        kinds = [(settings.training_mixture, settings.documents - count), (settings.training_mixture, count)]
        kinds += [(held, count)] if held else []
        found = [
            collect_side(model, mixture, n, rng, autocast=autocast, bar=bar, **shape) for mixture, n in kinds
        ]
    return Sides(found[0], found[1], found[2] if held else None)


def fit(
    sides: Sides, settings: RetentionSettings, seed: int, progress: bool, each_epoch: bool = True
) -> tuple[RetentionClassifier, list[dict[str, float]]]:
    """Fit on the training side; losses of every epoch, and rankings of each or of the last alone."""
    train = sides.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = RetentionClassifier(train.values.shape[1], settings.hidden)
    classifier.feature_mean.copy_(train.features.mean(dim=0))
    classifier.feature_std.copy_(train.features.std(dim=0).clamp_min(1e-3))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=settings.learning_rate)
    order = torch.Generator().manual_seed(seed)
    label, members = precedence(train), decisions(train)
    steps = settings.epochs * -(-len(members) // settings.decisions)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    history = []
    for epoch in tqdm(range(settings.epochs), desc="retention fit", unit="epoch", disable=not progress):
        total = 0.0
        for chosen in torch.randperm(len(members), generator=order).split(settings.decisions):
            index, live = side_by_side([members[i] for i in chosen])
            loss = ranking_loss(classifier(train.values[index], train.features[index]), label[index], live)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            cosine.step()
            total += float(loss.detach()) * len(chosen)
        history.append({"epoch": epoch + 1, "train_loss": total / len(members)})
        if each_epoch or epoch + 1 == settings.epochs:
            history[-1] |= _validate(classifier, sides, settings)
    return classifier, history


def stability(
    model: SynapNetEdge,
    cfg: Mapping[str, Any],
    seed: int,
    *,
    seeds: list[int],
    learning_rates: list[float],
    label_noise: list[float],
    autocast: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """The classifier's AUC over seeds x learning rates x shares of wrong labels, on one set of traces.

    Parameters
    ----------
    cfg, seed
        As in `train_retention`; the traces are the same for all fits.
    seeds, learning_rates, label_noise : list
        Every combination is fitted. Noise is in the training labels only.

    Returns
    -------
    DataFrame
        fit_seed, learning_rate, label_noise, validation_auc, task_auc.
    """
    settings = RetentionSettings.from_dict(cfg)
    sides = collect_examples(model, settings, seed, autocast=autocast, progress=progress)
    grid = [(s, rate, noise) for s in seeds for rate in learning_rates for noise in label_noise]
    lines = []
    for fit_seed, rate, noise in tqdm(grid, desc="retention stability", unit="fit", disable=not progress):
        noisy = with_label_noise(sides.train, noise, torch.Generator().manual_seed(fit_seed))
        changed = dataclasses.replace(settings, learning_rate=rate)
        last = fit(sides._replace(train=noisy), changed, fit_seed, False, each_epoch=False)[1][-1]
        line = {"fit_seed": fit_seed, "learning_rate": rate, "label_noise": noise}
        lines.append(line | {key: last[key] for key in ("validation_auc", "task_auc")})
    return pd.DataFrame(lines)


@torch.no_grad()
def _validate(classifier: RetentionClassifier, sides: Sides, settings: RetentionSettings) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, data in (("validation", sides.documents), ("task", sides.tasks)):
        if data is None:
            found |= {f"{name}_auc": float("nan"), f"{name}_rank_correlation": float("nan")}
            continue
        predicted = classifier(data.values, data.features)
        if name == "validation":
            label, members, total = precedence(data), decisions(data), 0.0
            for start in range(0, len(members), settings.decisions):
                index, live = side_by_side(members[start : start + settings.decisions])
                total += float(ranking_loss(predicted[index], label[index], live)) * len(index)
            found["validation_loss"] = total / len(members)
        auc, correlation = grouped_ranking(
            predicted.numpy(), data.future.numpy(), data.group.numpy(), settings.top_share
        )
        found |= {f"{name}_auc": auc, f"{name}_rank_correlation": correlation}
    return found
