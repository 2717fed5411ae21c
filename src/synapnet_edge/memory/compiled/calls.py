"""Calling the kernels with a store's arrays."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synapnet_edge.memory.compiled.kernels import load_kernels

if TYPE_CHECKING:
    from synapnet_edge.memory.policies.base import EntryState
    from synapnet_edge.memory.retention import RetentionClassifier
    from synapnet_edge.memory.tiers import Block, Entries


def least_free(block: Block) -> int:
    """Slots that every row of every layer has left."""
    position = block.data["position"]
    return load_kernels().least_free(position.data_ptr(), block.limits.data_ptr(), *position.shape)


def all_finite(scores: Tensor) -> bool:
    """Whether no score [L, B, N] is infinite or not a number."""
    scores = scores.contiguous()
    return load_kernels().all_finite(scores.data_ptr(), scores.numel())


def quantize_int8(x: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """See `tiers.quantize_int8`: the same codes and scales of float16 [..., H, d], finite, on the CPU."""
    x = x.contiguous()
    codes = torch.empty(x.shape, dtype=torch.int8)
    scale = torch.empty(x.shape[:-1], dtype=torch.float16)
    width = x.shape[-1]
    load_kernels().encode(x.data_ptr(), scale.numel(), width, floor, codes.data_ptr(), scale.data_ptr())
    return codes, scale


def lowest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See `exchange.lowest`."""
    layers, batch, count = scores.shape
    scores = scores.contiguous()
    values = torch.empty(layers, batch, k, dtype=torch.float64)
    places = torch.empty(layers, batch, k, dtype=torch.int64)
    load_kernels().lowest(scores.data_ptr(), layers * batch, count, k, values.data_ptr(), places.data_ptr())
    return values, places


def admit_best(block: Block, scores: Tensor, incoming: Entries) -> Tensor:
    """See `exchange.admit_best`: the same entries in the same slots, all layers and streams in one call.

    Raises
    ------
    ValueError
        If the newcomers are not in the block's format.
    """
    layers, batch, new = incoming["position"].shape
    gone = torch.empty(layers, batch, dtype=torch.int64)
    # Kernels get addresses, so everything must lie in one piece, and be held until they return.
    scores = scores.contiguous()
    arrays = {name: incoming[name].contiguous() for name in block.data}
    fields = array("q")
    for name, x in block.data.items():
        size = x.stride(2) * x.element_size()
        if arrays[name].nbytes != layers * batch * new * size:
            raise ValueError(f"{name} of an entry takes {size} bytes, got {tuple(arrays[name].shape)}")
        fields.extend((x.data_ptr(), arrays[name].data_ptr(), size))
    top = load_kernels().admit(
        scores.data_ptr(),
        block.data["position"].data_ptr(),
        block.limits.data_ptr(),
        layers,
        batch,
        block.slots,
        arrays["position"].data_ptr(),
        new,
        fields.buffer_info()[0],
        len(arrays),
        gone.data_ptr(),
    )
    block.top = max(block.top, top)
    return gone


def rank_entries(classifier: RetentionClassifier, state: EntryState) -> Tensor:
    """Scores float64 [L, B, N] by `RetentionClassifier.rank`, up to the rounding of float32.

    Raises
    ------
    ValueError
        If the classifier is not of plain float32 matrices, or the notes are those of another one.
    """
    layers, batch, total = state.shape
    scores = torch.empty(layers, batch, total, dtype=torch.float64)
    first, _, second, _, third = classifier.layers
    weights = (
        first.weight,
        classifier.feature_mean,
        classifier.feature_std,
        second.weight,
        second.bias,
        third.weight,
        third.bias,
        classifier.direct,
    )
    if any(x.dtype is not torch.float32 or not x.is_contiguous() for x in weights):
        raise ValueError("the classifier must be of contiguous float32 tensors")
    hidden, inputs = first.weight.shape
    start = scores.data_ptr()
    for part in state.parts:
        columns = [part[name].contiguous() for name in ("log_salience", "written", "mass", "note")]
        entries = columns[0].shape[2]
        if columns[-1].shape[3] != hidden:
            raise ValueError(f"the classifier needs notes of {hidden} numbers, got {columns[-1].shape[3]}")
        load_kernels().rank(
            *(x.data_ptr() for x in columns),
            layers,
            batch,
            entries,
            state.step,
            *(x.data_ptr() for x in weights),
            inputs,
            hidden,
            start,
            total,
        )
        start += scores.element_size() * entries
    return scores
