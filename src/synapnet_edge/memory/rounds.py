"""The steps of an eviction round: reads are folded in, new entries described, and the best of all kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synapnet_edge.memory.compiled import calls as compiled
from synapnet_edge.memory.decision import drop_at_once, score_entries
from synapnet_edge.memory.exchange import admit_best, exchange
from synapnet_edge.memory.policies.base import NewEntries
from synapnet_edge.memory.reads import queries_at, slot_reads
from synapnet_edge.memory.summaries import merge_into_like, promote_and_demote
from synapnet_edge.memory.tiers import Entries

if TYPE_CHECKING:
    from synapnet_edge.memory.store import EpisodicStore


def fold_reads(store: EpisodicStore) -> None:
    """Add the open chunk's reads to the counters of the entries, and let the policy note them."""
    policy = store.policy
    if not (store.wants_mass and store.blocks):
        return
    data = [block.data for block in store.blocks]
    sizes = [x["mass"].shape[2] for x in data]
    if policy.counts_uses or (policy.note_width and policy.observes_open):
        mass = torch.cat([x["chunk_mass"] for x in data], dim=2)
    if policy.counts_uses:
        used = policy.observe_read(mass, torch.cat([block.live for block in store.blocks], dim=2))
        for x, hit in zip(data, used.split(sizes, dim=2), strict=True):
            x["reads"] += hit
            x["last_read"].masked_fill_(hit, store.step)
    if policy.note_width and policy.observes_open:
        found = [store.read_statistics.of_stored(layer) for layer in range(store.n_layers)]
        widths = [(block.top, size) for block, size in zip(store.blocks, sizes, strict=True)]
        note = torch.cat([x["note"] for x in data], dim=2)
        note = policy.note_reads(note, slot_reads(found, widths, mass), store.step).to(torch.float16)
        for x, own in zip(data, note.split(sizes, dim=2), strict=True):
            x["note"].copy_(own)
    for x in data:
        x["mass"] += x["chunk_mass"]
        x["chunk_mass"].zero_()


def describe(store: EpisodicStore, layer: int, entries: Entries, positions: Tensor) -> None:
    """Add to new entries what their own chunk read of them and what the policy notes about them."""
    policy, offset = store.policy, positions - store.tokens
    reads = store.read_statistics.of_new(layer, offset) if policy.observes_open else None
    if reads is not None:
        entries["mass"] = reads.mass.masked_fill(entries["position"] < 0, 0.0)
    if policy.note_width:
        asked = queries_at(store.open_queries[layer], offset) if store.wants_queries else None
        payload = entries["keys"], entries["values"], entries["log_salience"].float()
        note = policy.note_write(layer, NewEntries(*payload, store.step, asked, reads))
        entries["note"] = note.to(torch.float16)


def admit(store: EpisodicStore, incoming: Entries) -> None:
    """Score stored and new entries once; demote, merge and evict until the budget holds."""
    new, blocks, policy = incoming["position"], store.blocks, store.policy
    policy.observe_write(new, new >= 0)
    for block in blocks:
        block.reserve(new.shape[2])
    scores = score_entries(policy, blocks, incoming, store.step)
    if policy.drop_share and blocks[0].free() < new.shape[2]:
        store.evicted += drop_at_once(blocks, scores, incoming, policy.drop_share)
    if len(blocks) == 1 and "summary" not in store.tiers:
        # Nothing happens to what leaves: only what enters has to be moved.
        keep = compiled.admit_best if new.device.type == "cpu" else admit_best
        store.evicted += keep(blocks[0], scores, blocks[0].encode(incoming))
        return
    *stored, arriving = scores.split([*(block.slots for block in blocks), new.shape[2]], dim=2)
    arriving = arriving.masked_fill(incoming["position"] < 0, -torch.inf)
    after = []
    for block, own in zip(blocks, stored, strict=True):
        own, incoming, arriving = exchange(block, own, block.encode(incoming), arriving)
        after.append(own)
    if len(blocks) == 2:
        promote_and_demote(*blocks, *after, marks=store.marks, max_moves=store.max_moves)
    gone = incoming["position"] >= 0
    if "summary" in store.tiers and bool(gone.any()):
        merged = merge_into_like(blocks[-1], incoming, gone, store.merge_threshold)
        store.merged += merged.sum(dim=2)
        gone = gone & ~merged
    store.evicted += gone.sum(dim=2)
