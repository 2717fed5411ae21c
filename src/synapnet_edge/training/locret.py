"""Train Locret's retaining heads on what the questions of full-memory passes match (2410.01805)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from synapnet_edge.memory.reads import queries_at
from synapnet_edge.memory.scoring.locret import RetainingHead, locret_labels, locret_loss
from synapnet_edge.models.stores import UnboundedStore
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.tasks.base import split_id
from synapnet_edge.tasks.mixture import Mixture
from synapnet_edge.training.question_reads import question_tokens


@dataclass(frozen=True)
class LocretSettings:
    """How the heads are trained; optimiser, loss and clipping are those of the paper.

    Attributes
    ----------
    mixture : mapping
        Task to weight.
    documents, length : int
        Sequences and their tokens.
    steps : int
        Optimiser steps, one document each (3,000 in the paper, two thirds of them warm-up).
    hidden : int
        Width of a head (1,024 in the paper, for wider keys).
    readouts : int
        Questions per document: their queries are the "answer queries" of the label.
    """

    mixture: Mapping[str, float]
    documents: int = 48
    length: int = 1024
    steps: int = 300
    hidden: int = 128
    readouts: int = 16

    def __post_init__(self) -> None:
        for key in ("documents", "length", "steps", "hidden", "readouts"):
            if getattr(self, key) < 1:
                raise ValueError(f"locret: {key} must be at least 1, got {getattr(self, key)}")

    @classmethod
    def from_dict(cls, cfg: Mapping[str, Any]) -> LocretSettings:
        """Read a configuration block; raises ValueError for an unknown key."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        if set(cfg) - known:
            found = sorted(set(cfg) - known)
            raise ValueError(f"locret: unknown keys {found}, expected some of {sorted(known)}")
        return cls(**cfg)


class Written(NamedTuple):
    """One layer's entries of one document: queries, keys, values [N, D], labels [N] (-inf: never asked)."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    label: Tensor


class _Recorder(UnboundedStore):
    """Keeps the queries of written tokens, and the largest logit each entry got from an answer's query."""

    wants_queries = True

    def __init__(self, asked: Tensor) -> None:
        super().__init__()
        self.asked = asked  # [B, T] bool
        self.written_queries: dict[int, list[Tensor]] = {}
        self.labels: dict[int, Tensor] = {}
        self._open: dict[int, list[Tensor]] = {}
        self._seen: dict[int, int] = {}
        self._start = 0

    def chunks_at_once(self, slots: int) -> int:
        return 1  # labels need the entries present when a query comes

    def observe_queries(self, layer: int, query: Tensor) -> None:
        self._open.setdefault(layer, []).append(query)
        first = self._seen.get(layer, 0)
        self._seen[layer] = first + query.shape[2]
        view = self.read(layer)
        if view is None:
            return
        logits = query.float() @ view.keys.float().transpose(-1, -2)  # [B, H, T, N]
        asked = self.asked[:, first : first + query.shape[2]]
        logits = logits.masked_fill(~asked[:, None, :, None], -torch.inf)
        new = locret_labels(logits).amax(dim=1)
        old = self.labels.get(layer)
        if old is not None:
            new[:, : old.shape[1]] = torch.maximum(new[:, : old.shape[1]], old)
        self.labels[layer] = new

    def write(
        self, layer: int, keys: Tensor, values: Tensor, log_salience: Tensor, positions: Tensor, *_: Any
    ):
        own = queries_at(self._open.pop(layer), positions - self._start)
        self.written_queries.setdefault(layer, []).append(own)
        super().write(layer, keys, values, log_salience, positions)

    def end_chunk(self) -> None:
        super().end_chunk()
        self._start = self._seen[0]


def train_locret(
    model: SynapNetEdge, cfg: Mapping[str, Any], seed: int, autocast: bool = False, progress: bool = True
) -> tuple[nn.ModuleList, pd.DataFrame]:
    """One head per layer; the backbone is only read.

    Parameters
    ----------
    cfg : mapping
        See `LocretSettings`.
    seed : int
        Seed of documents, initialisation and order.
    autocast : bool
        Record the passes under bfloat16 autocast.

    Returns
    -------
    heads : ModuleList of RetainingHead
    table : DataFrame
        step, loss (mean over layers), parameters.

    Raises
    ------
    ValueError
        If documents are not longer than one chunk: no entry is ever asked for.
    """
    settings = LocretSettings.from_dict(cfg)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split_id("classifier"), 1)))
    documents = [
        record(model, settings, rng, autocast)
        for _ in tqdm(range(settings.documents), desc="locret traces", unit="doc", disable=not progress)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = nn.ModuleList(
            RetainingHead(3 * model.cfg.dim, settings.hidden) for _ in range(model.cfg.depth)
        )
    optimizer = torch.optim.AdamW(heads.parameters(), lr=5e-4, betas=(0.9, 0.95))
    warm = max(1, 2 * settings.steps // 3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm))
    lines = []
    for step in tqdm(range(settings.steps), desc="locret", unit="step", disable=not progress):
        layers = documents[int(rng.integers(len(documents)))]
        losses = []
        for head, found in zip(heads, layers, strict=True):
            known = torch.isfinite(found.label)
            predicted = head(*(x[known].float() for x in found[:3])).squeeze(-1)
            losses.append(locret_loss(predicted, found.label[known]))
        loss = torch.stack(losses).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_value_(heads.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        lines.append({"step": step + 1, "loss": float(loss.detach())})
    parameters = sum(p.numel() for p in heads.parameters())
    return heads.eval(), pd.DataFrame(lines).assign(parameters=parameters)


@torch.inference_mode()
def record(
    model: SynapNetEdge, settings: LocretSettings, rng: np.random.Generator, autocast: bool = False
) -> list[Written]:
    """One document's entries with their labels, layer by layer."""
    model.eval()
    batch = Mixture(settings.mixture).batch(rng, 1, settings.length, settings.readouts)
    device = model.embed.token.weight.device
    ids = torch.from_numpy(np.ascontiguousarray(batch.input_ids)).to(device)
    store = _Recorder(question_tokens(batch).to(device))
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        model.step(ids, model.init_state(1, store=store))
    if not store.labels:
        raise ValueError("locret: documents must be longer than one chunk: nothing is ever asked for")
    found = []
    for layer in range(model.cfg.depth):
        label = store.labels[layer][0]
        view = store.read(layer)
        parts = [torch.cat(store.written_queries[layer], dim=1)[0], view.keys[0].transpose(0, 1)]
        parts.append(view.values[0].transpose(0, 1))
        flat = [x[: len(label)].flatten(1).float().cpu().clone() for x in parts]
        found.append(Written(*flat, label.float().cpu().clone()))
    return found
