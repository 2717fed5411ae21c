"""Moves between tiers: swaps with hysteresis, and merges of like entries into summaries."""

from __future__ import annotations

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from synapnet_edge.memory.tiers import Block, Entries, choose, dequantize_int8, take


def promote_and_demote(
    hot: Block,
    warm: Block,
    hot_scores: Tensor,
    warm_scores: Tensor,
    *,
    marks: tuple[float, float],
    max_moves: int,
) -> Tensor:
    """Swap INT8 entries above the high mark with FP16 entries below the low mark.

    Marks are quantiles of the FP16 scores of a row; the gap between them keeps entries from moving to and
    fro. A swap changes no byte. Promotion cannot restore what INT8 lost; it spares the entry further
    merging. Rows whose FP16 share has room are left alone.

    Returns
    -------
    Tensor
        [L, B, m] bool, the swaps made.
    """
    size = hot_scores.shape[-1]
    m = min(max_moves, size, warm_scores.shape[-1])
    if m == 0 or size < hot.capacity:
        return torch.zeros(*hot_scores.shape[:2], 0, dtype=torch.bool, device=hot_scores.device)
    full = hot.live.all(dim=-1, keepdim=True)
    low, high = (
        hot_scores.kthvalue(max(1, math.ceil(mark * size)), dim=-1, keepdim=True).values for mark in marks
    )
    single = warm.live & (warm.data["count"] <= 1)  # a summary stays a summary
    rising, warm_slots = warm_scores.masked_fill(~single, -torch.inf).topk(m, dim=-1)
    sinking, hot_slots = hot_scores.topk(m, dim=-1, largest=False)
    swap = full & (rising > high) & (sinking < low)
    if bool(swap.any()):
        up, down = take(warm.data, warm_slots), take(hot.data, hot_slots)
        hot.put(hot_slots, choose(swap, warm.decode(up), down))
        warm.put(warm_slots, choose(swap, warm.encode(down), up))
    return swap


def merge_into_like(block: Block, leaving: Entries, valid: Tensor, threshold: float) -> Tensor:
    """Merge leaving INT8 entries into the stored entry with the most similar key, if it is alike.

    An entry of log-salience b standing for n tokens weighs w = n exp(b) in the softmax. The summary's key and
    value are means weighted by w and its weight is the sum, so for equal keys one read of the summary equals
    the read of its members: n adds up and b becomes log(sum w / sum n).

    Parameters
    ----------
    block : Block
        INT8 block the entries fell out of; changed in place.
    leaving : Entries
        [L, B, K, ...] in the block's format.
    valid : Tensor
        [L, B, K] bool, which of them are entries.
    threshold : float
        Least cosine of keys, mean over heads.

    Returns
    -------
    Tensor
        [L, B, K] bool: merged (the others are lost).
    """
    if block.top == 0:
        return torch.zeros_like(valid)
    similarity, target = _most_similar(block, leaving)
    merged = valid & (similarity > threshold)
    if not bool(merged.any()):
        return merged
    base = take(block.data, target)
    # Members of one group see the same target, so every one of them computes the same summary and the
    # duplicate writes below agree.
    same = (target.unsqueeze(-1) == target.unsqueeze(-2)) & merged.unsqueeze(-2)
    summary = _summarise(block, base, leaving, same.float())
    block.put(target, choose(merged, summary, _settle(base, summary, merged, same)))
    return merged


def _most_similar(block: Block, leaving: Entries) -> tuple[Tensor, Tensor]:
    """Best mean-over-heads cosine [L, B, K] among stored entries, and its slot."""
    fallen = F.normalize(dequantize_int8(leaving["keys"], leaving["key_scale"]), dim=-1)
    similarity = torch.empty(fallen.shape[:3], device=fallen.device)
    target = torch.empty(fallen.shape[:3], dtype=torch.int64, device=fallen.device)
    empty = ~block.live[:, :, : block.top]
    for layer, stream in product(range(fallen.shape[0]), range(fallen.shape[1])):
        stored = F.normalize(block.payload("keys", layer, stream), dim=-1).flatten(-2)
        cosine = fallen[layer, stream].flatten(-2) @ stored.T / fallen.shape[-2]
        best = cosine.masked_fill(empty[layer, stream], -2.0).max(dim=-1)
        similarity[layer, stream], target[layer, stream] = best.values, best.indices
    return similarity, target


def _summarise(block: Block, base: Entries, members: Entries, group: Tensor) -> Entries:
    """Summary of each target with the members group [L, B, K, K] of its row, in the block's format."""

    def added(x: Tensor) -> Tensor:
        return (group @ x.reshape(*x.shape[:3], -1)).reshape(x.shape)

    weight, base_weight = (x["count"] * x["log_salience"].float().exp() for x in (members, base))
    total = base_weight + added(weight)
    count = base["count"] + added(members["count"])
    summary: Entries = {**base, "count": count}
    for part, scale in (("keys", "key_scale"), ("values", "value_scale")):
        own = dequantize_int8(base[part], base[scale]) * base_weight[..., None, None]
        other = added(dequantize_int8(members[part], members[scale]) * weight[..., None, None])
        summary[part] = (own + other) / total.clamp_min(1e-30)[..., None, None]
    if "note" in base:
        noted = base["note"] * base_weight[..., None] + added(members["note"] * weight[..., None])
        summary["note"] = noted / total.clamp_min(1e-30)[..., None]
    summary["log_salience"] = (total / count.clamp_min(1)).clamp_min(1e-30).log().to(torch.float16)
    for name in ("mass", "chunk_mass"):
        summary[name] = base[name] + added(members[name])
    for name in ("reads", "last_read"):
        joined = torch.where(group.bool(), members[name].unsqueeze(-2), -1).amax(dim=-1)
        summary[name] = torch.maximum(base[name], joined.to(base[name].dtype))
    return block.encode(summary)


def _settle(base: Entries, summary: Entries, merged: Tensor, same: Tensor) -> Entries:
    """What entries that did not merge must write to their target: the summary if another one merged there."""
    return choose(same.any(dim=-1) & ~merged, summary, base)
