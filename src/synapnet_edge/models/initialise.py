"""Starting weights: residual branches near zero, and lookups that already look things up."""

from __future__ import annotations

import math

import torch
from torch import nn

from synapnet_edge.models.synapblock import SynapBlock

# What heads start as, in turn: (shift of the query, shift of the key, level of the memory's null slot). "The
# token before me" against "the token before you" finds the value of an asked key, the others find the same
# token, its successor, ... At a level above 1 the share that is found is nearly linear in the matches.
LOOKUPS = ((1, 1, 0.5), (1, 1, 1.3), (1, 0, 1.3), (0, 1, 0.5), (0, 0, 1.3), (1, 2, 0.8))
COUNT_GAIN = 16.0  # of the found share of counting heads: about one unit for each match
COUNT_STD = 0.1  # of the output weights that read the found share
COPY = 0.5  # size of what a head writes back, relative to what it found
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
    for block in model.modules():
        if isinstance(block, SynapBlock):
            _start_as_shifts(block)
            _start_as_lookups(block)


def _start_as_shifts(block: SynapBlock) -> None:
    """Bound states start as the same features of the last `conv_width` tokens, side by side.

    A random convolution mixes neighbours, and the trace of one token in it is too faint to be matched: with
    shifts, recall of a key's value appeared after a fifth of the training it took otherwise.
    """
    ssm = block.ssm
    width = ssm.conv.weight.shape[1]
    size = ssm.conv.weight.shape[0] // width
    rows = size * width
    ssm.in_proj.weight[:rows] = ssm.in_proj.weight[:size].repeat(width, 1)
    ssm.conv.weight *= LEAK
    for shift in range(width):
        ssm.conv.weight[shift * size : (shift + 1) * size, width - 1 - shift] += 1.0


def _start_as_lookups(block: SynapBlock) -> None:
    """Heads start as lookups that copy: equal tokens match, and what is found is written as it was.

    Query and key of a head have one projection, each of its own shift. The output is the transpose of the
    value's path, so a found token is added to the residual stream in the code of the embedding, where the
    next layer finds it as if it stood there: chains of lookups need no new code per hop.
    """
    width = block.ssm.conv.weight.shape[1] if block.cfg.use_preconv else 1
    size = block.ssm.conv.weight.shape[0] // block.ssm.conv.weight.shape[1]
    lookups = [lookup for lookup in LOOKUPS if max(lookup[:2]) < width]
    for pathway in (block.attention, block.memory):
        if pathway is None:
            continue
        head_dim = pathway.q_proj.out_features // pathway.heads
        for head in range(pathway.heads):
            rows = slice(head * head_dim, (head + 1) * head_dim)
            features = torch.randn(head_dim, size) / math.sqrt(size)
            of_query, of_key, level = lookups[head % len(lookups)]
            for projection, shift in ((pathway.q_proj, of_query), (pathway.k_proj, of_key)):
                projection.weight[rows] *= LEAK
                projection.weight[rows, shift * size : (shift + 1) * size] += features
            values = torch.randn(head_dim, size) / math.sqrt(size)
            pathway.v_proj.weight[rows] *= LEAK
            pathway.v_proj.weight[rows, :size] += values
            pathway.o_proj.weight[:, rows] += COPY * (values @ block.ssm.in_proj.weight[:size]).T
            if pathway is block.memory:
                pathway.null_level[head] = level
                pathway.found_gain[head] = COUNT_GAIN if level > 1 else 1.0
                pathway.o_proj.weight[:, rows.stop - 1].normal_(std=COUNT_STD)
