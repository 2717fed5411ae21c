"""Locret on a transformer's cache: a trained head scores every key once, when it is written (2410.01805)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synapnet_edge.baselines.attention import angles, attend, project
from synapnet_edge.baselines.kv.base import KV_POLICIES, KVPolicy, LayerCache, Seen
from synapnet_edge.baselines.llama import Llama
from synapnet_edge.memory.scoring import RetainingHead, locret_labels, locret_loss, protect_recent
from synapnet_edge.tasks import Mixture

ANSWER = 4  # last tokens of a training row, whose queries make the labels
LOCAL = 0.4  # share of the budget for the newest keys: the paper keeps 2,500 of 6,000


@KV_POLICIES.register("locret")
class Locret(KVPolicy):
    """Scores travel with the keys; the newest ones are held until the next round ("stabilisers").

    `settings["heads"]`: one `RetainingHead` per layer, see `fit_heads`.
    """

    notes = ("score",)

    def observe(self, cache: LayerCache, seen: Seen) -> None:
        heads = self.settings.get("heads")
        if heads is None:
            raise ValueError("locret: found no trained heads, expected settings['heads']")
        scores = heads[seen.layer](*(flat(part) for part in (seen.queries, seen.keys, seen.values)))
        new = scores.transpose(1, 2).float()  # [B, G, T]
        cache.notes["score"] = torch.cat([cache.notes["score"][:, :, : -new.shape[2]], new], 2)

    def scores(self, layer: int, cache: LayerCache) -> Tensor:
        return protect_recent(cache.notes["score"].double(), int(LOCAL * self.capacity), cache.position)


def flat(part: Tensor) -> Tensor:
    """[B, H, T, d] -> [B, T, H*d] float32."""
    return part.transpose(1, 2).flatten(2).float()


def fit_heads(
    model: Llama, mixture: Mapping[str, float], settings: Mapping[str, Any], seed: int
) -> nn.ModuleList:
    """Train the heads of all layers on the frozen model.

    Parameters
    ----------
    settings : `steps`, `batch`, `length`, `hidden`, `learning_rate`.

    The label of a key is the largest scaled logit that the queries of the row's last tokens, where the
    question stands, give it within its head's group.
    """
    cfg = model.cfg
    width = (cfg.heads + 2 * cfg.kv_heads) * cfg.head_dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = nn.ModuleList(RetainingHead(width, settings["hidden"], cfg.kv_heads) for _ in model.blocks)
    optimizer = torch.optim.AdamW(heads.parameters(), lr=settings["learning_rate"], betas=(0.9, 0.95))
    warmup = max(1, settings["steps"] * 2 // 3)  # as the paper's 2,000 of 3,000 steps
    for step, ids in enumerate(_rows(mixture, settings, seed)):
        for group in optimizer.param_groups:
            group["lr"] = settings["learning_rate"] * min(1.0, (step + 1) / warmup)
        loss = torch.stack(
            [_loss(head, *part) for head, part in zip(heads, _traces(model, ids), strict=True)]
        )
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        nn.utils.clip_grad_value_(heads.parameters(), 0.5)
        optimizer.step()
    return heads.eval().requires_grad_(False)


def _rows(mixture: Mapping[str, float], settings: Mapping[str, Any], seed: int) -> Iterator[Tensor]:
    source = Mixture(mixture)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x10C2E7,)))
    for _ in range(settings["steps"]):
        yield torch.from_numpy(source.batch(rng, settings["batch"], settings["length"], 1).input_ids)


@torch.no_grad()
def _traces(model: Llama, ids: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Per layer: flattened q, k, v of the context [B, T, *] and the labels [B, G, T]."""
    cfg, found = model.cfg, []
    ids = ids.to(model.embed.token.weight.device)
    turned = angles(torch.arange(ids.shape[1], device=ids.device), cfg.head_dim, cfg.rope_theta)
    x = model.embed(ids)
    for block in model.blocks:
        q, k, v = project(block.attention, block.norm(x), **turned)
        group = q.shape[1] // k.shape[1]
        asking = q[:, :, -ANSWER:].unflatten(1, (-1, group)).flatten(2, 3)  # [B, G, group * A, d]
        logits = asking @ k[:, :, :-ANSWER].transpose(-1, -2) * cfg.head_dim**-0.5
        parts = (flat(part)[:, :-ANSWER] for part in (q, k, v))
        found.append((*parts, locret_labels(logits.float())))
        x = block.finish(x, attend(q, k, v))
    return found


def _loss(head: RetainingHead, q: Tensor, k: Tensor, v: Tensor, label: Tensor) -> Tensor:
    return locret_loss(head(q, k, v).transpose(1, 2), label)
