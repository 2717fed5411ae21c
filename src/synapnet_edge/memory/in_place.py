"""Reading entries where they lie, INT8 or FP16: nothing of the memory is copied or decoded as a whole."""

from __future__ import annotations

import functools
from array import array
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor

from synapnet_edge.memory.compiled.kernels import load_kernels
from synapnet_edge.memory.tiers import Block
from synapnet_edge.models.state import InPlaceEntries

_LANES = 16
_FEW = 4  # queries whose logits are kept for the mass, rather than computed twice
_ARRAYS = ("keys", "key_scale", "values", "value_scale")


def read_bias(blocks: list[Block], layer: int) -> tuple[Tensor, Tensor]:
    """What a read adds to the logits of one layer's slots, float32 [B, N], and the tokens they stand for [B].

    That is log-salience plus log(count); -inf in an empty slot.
    """
    salience, count = (
        torch.cat([block.data[name][layer, :, : block.top].float() for block in blocks], dim=1)
        for name in ("log_salience", "count")
    )
    return salience + count.log(), count.sum(dim=1)


class BlockTable:
    """One stream's slots in one layer: a row of `compiled.reading.PART_WORDS` words for each block.

    It holds the arrays whose addresses it has: a block that grows has new ones.

    Attributes
    ----------
    address, blocks : int
    """

    def __init__(self, blocks: list[Block], layer: int, stream: int) -> None:
        self.blocks = len(blocks)
        self._words, self._arrays = array("q"), []
        for block in blocks:
            own = [block.data[name][layer, stream] if name in block.data else None for name in _ARRAYS]
            self._arrays += own
            addresses = [0 if x is None else x.data_ptr() for x in own]
            self._words.extend((block.data["keys"].element_size(), *addresses, block.top))
        self.address = self._words.buffer_info()[0]


class StoredEntries(InPlaceEntries):
    """The slots of some blocks in one layer, read by compiled code.

    Parameters
    ----------
    blocks : list of Block
        On the CPU; each is read up to its high-water mark, in this order.
    layer : int
    """

    def __init__(self, blocks: list[Block], layer: int) -> None:
        self._blocks, self._layer = blocks, layer
        self.bias, self.count = read_bias(blocks, layer)

    def attend(
        self, query: Tensor, tops: Tensor, sums: Tensor, weighted: Tensor, wants_mass: bool
    ) -> tuple[Tensor, Tensor | None]:
        """See `InPlaceEntries`. Streams, or the heads of one stream, are shared out among torch's threads."""
        batch, heads, length, width = query.shape
        pad = (0, -width % _LANES)
        query, out = F.pad(query.float(), pad).contiguous(), F.pad(weighted, pad)
        # Copies: the kernel goes on with them.
        tops, sums, out = (x.to(torch.float32, copy=True).contiguous() for x in (tops, sums, out))
        threads = torch.get_num_threads()
        groups = min(threads, heads) if batch < threads else 1
        mass = torch.zeros(batch, groups, self.bias.shape[1]) if wants_mass else None
        row = query.shape[3] * query.element_size()
        size = load_kernels().space_floats(width, length)
        space = torch.zeros(batch * groups if threads > 1 else 1, size).expand(batch * groups, size)
        kept = torch.empty(batch, self.kept_floats(length)) if wants_mass and length <= _FEW else None
        tables = [self.table(stream) for stream in range(batch)]  # held until the kernel is done
        calls = []
        for stream in range(batch):
            for group in range(groups):
                calls.append(
                    (
                        *(query[stream].data_ptr(), length * row, row),
                        *(group * heads // groups, (group + 1) * heads // groups, heads),
                        *(length, width),
                        *(tables[stream].address, tables[stream].blocks, self.bias[stream].data_ptr()),
                        *(tops[stream].data_ptr(), sums[stream].data_ptr()),
                        *(out[stream].data_ptr(), length * row, row),
                        0 if mass is None else mass[stream, group].data_ptr(),
                        0 if kept is None else kept[stream].data_ptr(),
                        space[len(calls)].data_ptr(),
                    )
                )
        if threads == 1 or len(calls) == 1:
            for call in calls:
                _attend(call)
        else:
            list(_pool(threads).map(_attend, calls))
        return out[..., :width], None if mass is None else mass.sum(dim=1)

    def kept_floats(self, queries: int) -> int:
        """Room for the logits of so many queries, see `compiled.reading.attend`."""
        tile = load_kernels().TILE
        tiles = sum(-(-block.top // tile) for block in self._blocks)
        return tiles * self._blocks[0].data["keys"].shape[3] * queries * tile

    def table(self, stream: int) -> BlockTable:
        """Where a stream's slots stand, for the kernels."""
        return BlockTable(self._blocks, self._layer, stream)


def _attend(arguments: tuple[int, ...]) -> None:
    load_kernels().attend.ctypes(*arguments)


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "synapnet-memory")
