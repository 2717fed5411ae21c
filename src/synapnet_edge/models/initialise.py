"""Starting weights: residual branches near zero, and lookups that already look things up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from synapnet_edge.models.episodic_memory import WriteableMemory
from synapnet_edge.models.synapblock import SynapBlock

# What heads start as: (shifts of the query, shifts of the key, level of the memory's null slot). "The token
# before me" against "the token before you" finds the value of an asked key; two shifts find a record by two
# of its tokens. Heads without a level of their own count. A layer's last head takes its turn from the second
# list: the first layer finds a record by two tokens before the one that asks, the second a record of what was
# found.
Lookup = tuple[tuple[int, ...], tuple[int, ...], float | None]
LOOKUPS: tuple[Lookup, ...] = (
    ((1,), (1,), 0.5),
    ((0,), (1,), 0.5),
    ((1,), (0,), None),
    ((1,), (1,), None),
    ((1, 2), (1, 2), 0.8),
)
IN_TURN: tuple[Lookup, ...] = (((2, 3), (1, 2), 0.8), ((1, 0), (1, 2), 0.5), ((0,), (0,), None))
SAME_TOKEN: Lookup = ((0,), (0,), 0.5)
# A counting head's null slot is a little more attractive than a match, so the found share is nearly linear in
# the number of matches; each layer has another level, hence another curve. Its scale does not grow with the
# memory: the share must mean the same at any length.
COUNT_LEVELS = (1.0, 1.25)
COUNT_SHARPNESS, SHARPNESS = 2.5, 1.5
COUNT_GAIN = 8.0  # of the found share: about one unit for each match
COUNT_STD = 0.1  # of the output weights that read the found share
COPY = 0.5  # size of what a head writes back, relative to what it found
FIRST_PRIOR_GAIN = 32.0  # of a token's own salience in the first layer: how fast it can be learned
PRIOR_GAIN = 8.0  # in the other layers
LEAK = 0.1  # of an ordinary random start that is mixed in, so that nothing is exactly zero


@torch.no_grad()
def initialise(model: nn.Module, depth: int) -> None:
    """Set the weights of all linear layers and blocks of `model`, in place.

    Linear weights are normal with variance 1 / fan-in; the outputs of the pathways and of the feed-forward
    are scaled down by sqrt(2 depth), so that each block starts near the identity.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            std = 1.0 / math.sqrt(module.in_features)
            if name.endswith(("out_proj", "o_proj", "down")):
                std /= math.sqrt(2 * depth)
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    blocks = [module for module in model.modules() if isinstance(module, SynapBlock)]
    low, high = COUNT_LEVELS
    for layer, block in enumerate(blocks):
        level = low + (high - low) * layer / max(1, len(blocks) - 1)
        block.salience.prior_gain.fill_(PRIOR_GAIN if layer else FIRST_PRIOR_GAIN)
        _start_as_shifts(block)
        _start_as_lookups(block, (*LOOKUPS, IN_TURN[layer % len(IN_TURN)]), level)


def _start_as_shifts(block: SynapBlock) -> None:
    """Bound states start as the same features of the last `conv_width` tokens, side by side.

    A random convolution mixes neighbours, and the trace of one token in it is too faint to be matched: with
    shifts, recall of a key's value appears after a fraction of the training.
    """
    ssm = block.ssm
    width = ssm.conv.weight.shape[1]
    size = ssm.conv.weight.shape[0] // width
    rows = size * width
    ssm.in_proj.weight[:rows] = ssm.in_proj.weight[:size].repeat(width, 1)
    ssm.conv.weight *= LEAK
    for shift in range(width):
        ssm.conv.weight[shift * size : (shift + 1) * size, width - 1 - shift] += 1.0


def _start_as_lookups(block: SynapBlock, lookups: Sequence[Lookup], count_level: float) -> None:
    """Heads start as lookups that copy: equal tokens match, and what is found is written as it was.

    Query and key of a head have one projection, each of its own shift. The output is the transpose of the
    value's path, so a found token is added to the residual stream in the code of the embedding, where the
    next layer finds it as if it stood there: chains of lookups need no new code per hop.
    """
    width = block.ssm.conv.weight.shape[1] if block.cfg.use_preconv else 1
    size = block.ssm.conv.weight.shape[0] // block.ssm.conv.weight.shape[1]
    possible = [lookup for lookup in lookups if max(*lookup[0], *lookup[1]) < width] or [SAME_TOKEN]
    for pathway in (block.attention, block.memory):
        if pathway is None:
            continue
        head_dim = pathway.q_proj.out_features // pathway.heads
        for head in range(pathway.heads):
            rows = slice(head * head_dim, (head + 1) * head_dim)
            features = _without_mean(torch.randn(2, head_dim, size)) / math.sqrt(size)
            of_query, of_key, level = possible[head % len(possible)]
            for projection, shifts in ((pathway.q_proj, of_query), (pathway.k_proj, of_key)):
                projection.weight[rows] *= LEAK
                for features_of, shift in zip(features, shifts, strict=False):
                    projection.weight[rows, shift * size : (shift + 1) * size] += features_of
            values = torch.randn(head_dim, size) / math.sqrt(size)
            pathway.v_proj.weight[rows] *= LEAK
            pathway.v_proj.weight[rows, :size] += values
            pathway.o_proj.weight[:, rows] += COPY * (values @ block.ssm.in_proj.weight[:size]).T
            if pathway is block.memory:
                _start_as_counter(pathway, head, rows.stop - 1, level, count_level)


def _start_as_counter(
    memory: WriteableMemory, head: int, found: int, level: float | None, count_level: float
) -> None:
    """Set how one head of the memory weighs the null slot; `found` is the column of its found share."""
    counts = level is None
    memory.null_level[head] = count_level if counts else level
    memory.sharpness[head] = COUNT_SHARPNESS if counts else SHARPNESS
    if counts and memory.ssmax is not None:
        memory.ssmax[head] = 0.0
    memory.found_gain[head] = COUNT_GAIN if counts else 1.0
    memory.o_proj.weight[:, found].normal_(std=COUNT_STD)


def _without_mean(features: torch.Tensor) -> torch.Tensor:
    """Rows [..., n] that add up to zero: bound states share a positive mean, which would match everywhere."""
    return features - features.mean(dim=-1, keepdim=True)
