"""Examples for the retention classifier: entries at a moment of decision, and what questions read of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from synapnet_edge.memory.retention import RetentionClassifier
from synapnet_edge.memory.traces import ReadTrace
from synapnet_edge.models.synapnet_edge_model import SynapNetEdge
from synapnet_edge.tasks.base import TaskBatch
from synapnet_edge.tasks.mixture import Mixture
from synapnet_edge.training.question_reads import QuestionReads, question_tokens


class Examples(NamedTuple):
    """Entries at a moment of decision.

    Attributes
    ----------
    values, features : Tensor
        float16 [n, D] and float32 [n, 4]: all the classifier sees.
    future : Tensor
        float32 [n], the largest share of a question's read that it gets in later chunks, over heads.
    group : Tensor
        int64 [n], the decision (document, chunk, layer) an example belongs to.
    """

    values: Tensor
    features: Tensor
    future: Tensor
    group: Tensor


class Sides(NamedTuple):
    """Training examples, examples of unseen documents, and of unseen tasks (None: no task is held out)."""

    train: Examples
    documents: Examples
    tasks: Examples | None


@torch.inference_mode()
def collect_side(
    model: SynapNetEdge,
    mixture: Mapping[str, float],
    documents: int,
    rng: np.random.Generator,
    *,
    length: int,
    readouts: int,
    groups: int,
    batch: int,
    autocast: bool = False,
    bar: tqdm | None = None,
) -> Examples:
    """Examples of `documents` new documents drawn from `mixture`.

    Raises
    ------
    ValueError
        If documents are not longer than one chunk: nothing is ever read.
    """
    model.eval()
    drawn, parts = Mixture(mixture), []
    for start in range(0, documents, batch):
        size = min(batch, documents - start)
        store, slots = _full_pass(model, drawn.batch(rng, size, length, readouts), autocast)
        parts.append(_examples(model.cfg.depth, store, slots, size, groups, rng, len(parts)))
        if bar is not None:
            bar.update(size)
    return _join(parts)


def shuffled(data: Examples, generator: torch.Generator) -> Examples:
    """Labels permuted inside each group: everything but the link from entry to future stays."""
    key = data.group.double() + torch.rand(len(data.group), generator=generator, dtype=torch.float64)
    future = torch.empty_like(data.future)
    future[data.group.argsort(stable=True)] = data.future[key.argsort()]
    return data._replace(future=future)


def with_label_noise(data: Examples, share: float, generator: torch.Generator) -> Examples:
    """A random `share` of the examples gets the label of a random example of its group.

    Raises
    ------
    ValueError
        If `share` does not lie in 0..1.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must lie in 0..1, got {share}")
    hit = torch.rand(len(data.future), generator=generator) < share
    return data._replace(future=torch.where(hit, shuffled(data, generator).future, data.future))


def precedence(data: Examples) -> Tensor:
    """Labels [n] in 0..1 that order the entries which compete for the same bytes.

    An entry's read as a share of its group's largest: the level of a group does not count (a late chunk has
    little future). Of that the square root, or the few largest would be all that is learned from.
    """
    largest = pd.Series(data.future.numpy()).groupby(data.group.numpy()).transform("max").to_numpy()
    return torch.from_numpy(np.sqrt(data.future.numpy() / np.maximum(largest, 1e-9))).float()


def _full_pass(model: SynapNetEdge, documents: TaskBatch, autocast: bool) -> tuple[QuestionReads, int]:
    """Stream the documents with unbounded memory; the store with its reads, and entries per chunk."""
    device = model.embed.token.weight.device
    ids = torch.from_numpy(np.ascontiguousarray(documents.input_ids)).to(device)
    store = QuestionReads(question_tokens(documents).to(device))
    state = model.init_state(len(ids), store=store)
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        model.step(ids, state)
    return store, state.slots


def _examples(
    depth: int,
    store: QuestionReads,
    slots: int,
    documents: int,
    groups: int,
    rng: np.random.Generator,
    block: int,
) -> Examples:
    """Examples of one full-memory pass; `block` makes the group numbers of passes distinct."""
    trace = ReadTrace.from_store(store, depth, slots)
    views = [store.read(layer) for layer in range(depth)]
    later = [store.later(layer, trace.chunks) for layer in range(depth)]
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
            future = later[layer][chunk, row, :alive]
            number = (block * 4096 + row) * groups + choice
            parts.append(Examples(values, features, future, torch.full((alive,), number)))
    return _join(parts)


def _join(parts: list[Examples]) -> Examples:
    return Examples(*(torch.cat(column) for column in zip(*parts, strict=True)))
