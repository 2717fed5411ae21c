"""Policies that keep part of a transformer's cache: what they see, what they keep, and how a prompt runs.

Scores come from `memory.scoring`, the functions that also rank entries of the reference model's memory. Here
a key is kept or dropped per layer and key-value head; keys keep the rotary phase of their true position.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from synapnet_edge.baselines.attention import angles, project, visible
from synapnet_edge.baselines.llama import Llama
from synapnet_edge.memory.scoring import keep_indices
from synapnet_edge.registry import Registry


@dataclass
class LayerCache:
    """One layer's kept keys.

    Attributes
    ----------
    keys, values : [B, G, N, d], in order of position.
    position : [B, G, N] int64.
    notes : name -> [B, G, N], what a policy remembers of each key; dropped with it.
    """

    keys: Tensor
    values: Tensor
    position: Tensor
    notes: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, index: Tensor) -> None:
        """Keep the entries at `index` [B, G, K] (ascending)."""
        wide = index[..., None].expand(-1, -1, -1, self.keys.shape[-1])
        self.keys, self.values = self.keys.gather(2, wide), self.values.gather(2, wide)
        self.position = self.position.gather(2, index)
        self.notes = {name: note.gather(2, index) for name, note in self.notes.items()}

    def nbytes(self) -> int:
        """Bytes of one stream: keys and values in FP16, a position and each note in 4 bytes."""
        entries = self.position[0].numel()
        return entries * (4 * self.keys.shape[-1] + 4 * (1 + len(self.notes)))


class Seen:
    """What a layer's attention did with one piece.

    Attributes
    ----------
    layer : int
    probabilities : [B, G, T, N], mean over the query heads of each key-value head.
    queries, keys, values : [B, H, T, d] and [B, G, T, d] of the piece's tokens (rotated).
    """

    def __init__(
        self, layer: int, probabilities: Tensor, queries: Tensor, keys: Tensor, values: Tensor
    ) -> None:
        self.layer, self.probabilities = layer, probabilities
        self.queries, self.keys, self.values = queries, keys, values


class KVPolicy(ABC):
    """Decides which keys stay. One object serves one batch of prompts.

    Parameters
    ----------
    capacity : int
        Mean keys per layer and key-value head after a decision.
    layers : int
    settings : mapping
        The policy's own settings.

    Attributes
    ----------
    streaming : whether keys are dropped after every piece; otherwise once, when the prompt has been read.
    notes : names of the notes it keeps, each 4 bytes per key.
    """

    streaming: ClassVar[bool] = True
    notes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, capacity: int, layers: int, settings: Mapping[str, Any] | None = None) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: found {capacity} keys per head, expected at least 1")
        self.capacity, self.layers, self.settings = capacity, layers, dict(settings or {})

    def observe(self, cache: LayerCache, seen: Seen) -> None:  # noqa: B027 (optional hook)
        """Take notes of one piece; `cache` already holds its keys."""

    @abstractmethod
    def scores(self, layer: int, cache: LayerCache) -> Tensor:
        """[B, G, N], higher stays."""

    def room(self, layer: int, found: int, length: int) -> int:
        """Keys per head that stay of `found`, `length` tokens into the prompt."""
        return self.capacity

    def decide(self, layer: int, cache: LayerCache, length: int) -> None:
        """Drop what does not fit."""
        found = cache.position.shape[2]
        room = self.room(layer, found, length)
        if found > room:
            cache.keep(keep_indices(self.scores(layer, cache), room))


KV_POLICIES: Registry[type[KVPolicy]] = Registry("cache policy")


class CachedLlama:
    """A Llama that runs over caches a policy may cut.

    Parameters
    ----------
    model : Llama
    policy : KVPolicy or None
        None keeps everything.
    """

    def __init__(self, model: Llama, policy: KVPolicy | None = None) -> None:
        self.model, self.policy = model, policy
        self.caches: list[LayerCache | None] = [None] * len(model.blocks)
        self.tokens = 0

    def read(self, ids: Tensor, watch: bool = True) -> Tensor:
        """Process the next piece ids [B, T]; hidden [B, T, D]. With `watch` the policy takes notes."""
        cfg = self.model.cfg
        positions = torch.arange(self.tokens, self.tokens + ids.shape[1], device=ids.device)
        turned = angles(positions, cfg.head_dim, cfg.rope_theta)
        x = self.model.embed(ids)
        for layer, block in enumerate(self.model.blocks):
            q, k, v = project(block.attention, block.norm(x), **turned)
            cache = self._grow(layer, k, v, positions)
            probabilities = explicit_attention(q, cache.keys)
            grouped = probabilities.unflatten(1, (k.shape[1], -1))
            attended = (grouped @ cache.values[:, :, None].to(grouped.dtype)).flatten(1, 2)
            x = block.finish(x, attended.transpose(1, 2).flatten(2).to(v.dtype))
            if watch and self.policy is not None:
                self.policy.observe(cache, Seen(layer, grouped.mean(2), q, k, v))
        self.tokens += ids.shape[1]
        return self.model.norm(x)

    def decide(self) -> None:
        """Let the policy drop keys in every layer."""
        if self.policy is not None:
            for layer, cache in enumerate(self.caches):
                self.policy.decide(layer, cache, self.tokens)

    def forget_last(self) -> None:
        """Take back the last token, so that it can be read again over what was kept."""
        for cache in self.caches:
            keep = torch.arange(cache.position.shape[2] - 1, device=cache.position.device)
            cache.keep(keep.expand(*cache.position.shape[:2], -1))
        self.tokens -= 1

    def nbytes(self) -> int:
        """Bytes that one stream carries."""
        return sum(cache.nbytes() for cache in self.caches)

    def _grow(self, layer: int, keys: Tensor, values: Tensor, positions: Tensor) -> LayerCache:
        position = positions.expand(*keys.shape[:2], -1)
        cache = self.caches[layer]
        if cache is None:
            cache = LayerCache(keys, values, position)
        else:
            cache.keys, cache.values = torch.cat([cache.keys, keys], 2), torch.cat([cache.values, values], 2)
            cache.position = torch.cat([cache.position, position], 2)
        for name in self.policy.notes if self.policy else ():
            fresh = torch.zeros(position.shape, device=keys.device)
            old = cache.notes.get(name)
            cache.notes[name] = fresh if old is None else torch.cat([old, fresh], 2)
        self.caches[layer] = cache
        return cache


def explicit_attention(q: Tensor, keys: Tensor) -> Tensor:
    """Causal probabilities [B, H, T, N] (float32) of q [B, H, T, d]; the last T keys are the queries' own."""
    group = q.shape[1] // keys.shape[1]
    logits = (
        (q.unflatten(1, (-1, group)) @ keys[:, :, None].transpose(-1, -2).to(q.dtype)).flatten(1, 2).float()
    )
    mask = visible(q.shape[2], keys.shape[2], q.device)
    return (logits * q.shape[-1] ** -0.5).masked_fill(~mask, -torch.inf).softmax(-1)


@torch.inference_mode()
def answer(
    model: Llama,
    ids: Tensor,
    policy: KVPolicy | None,
    *,
    piece: int,
    open_from: int,
    query_aware: bool = False,
) -> tuple[Tensor, CachedLlama]:
    """Logits [B, C] at the last token of ids [B, L], read under a policy.

    Query-agnostic: everything is decided before token `open_from`, where the piece with the question begins.
    Query-aware (the published use of SnapKV and PyramidKV): the whole prompt is read, then the cache is cut
    and the last token read again over what is left.

    Returns
    -------
    logits, and the run with the cache that the answer was read from.
    """
    run = CachedLlama(model, policy)
    stop = ids.shape[1] if query_aware else open_from
    for start in range(0, stop, piece):
        hidden = run.read(ids[:, start : min(stop, start + piece)])
        if policy is not None and policy.streaming:
            run.decide()
    if policy is not None and not policy.streaming:
        run.decide()
    if query_aware and policy is not None:
        run.forget_last()
    if run.tokens < ids.shape[1]:
        hidden = run.read(ids[:, run.tokens :], watch=False)
    return model.read_out(hidden[:, -1]), run
