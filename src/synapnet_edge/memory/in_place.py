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


def read_bias(blocks: list[Block], layer: int) -> tuple[Tensor, Tensor]:
    """What a read adds to the logits of one layer's slots, float32 [B, N], and the tokens they stand for [B].

    That is log-salience plus log(count); -inf in an empty slot.
    """
    salience, count = (
        torch.cat([block.data[name][layer, :, : block.top].float() for block in blocks], dim=1)
        for name in ("log_salience", "count")
    )
    return salience + count.log(), count.sum(dim=1)


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
        calls = []
        for stream in range(batch):
            parts = self._parts(stream)
            for group in range(groups):
                calls.append(
                    (
                        query[stream].data_ptr(),
                        group * heads // groups,
                        (group + 1) * heads // groups,
                        heads,
                        length,
                        width,
                        parts,
                        len(self._blocks),
                        self.bias[stream].data_ptr(),
                        tops[stream].data_ptr(),
                        sums[stream].data_ptr(),
                        out[stream].data_ptr(),
                        0 if mass is None else mass[stream, group].data_ptr(),
                    )
                )
        if threads == 1 or len(calls) == 1:
            for call in calls:
                _attend(call)
        else:
            list(_pool(threads).map(_attend, calls))
        return out[..., :width], None if mass is None else mass.sum(dim=1)

    def _parts(self, stream: int) -> array:
        """The table of the kernel: a row of `compiled.reading.PART_WORDS` numbers for each block."""
        words = array("q")
        for block in self._blocks:
            data = {name: x[self._layer, stream] for name, x in block.data.items()}
            addresses = (data[name].data_ptr() if name in data else 0 for name in _ARRAYS)
            words.extend((block.entry_format == "int8", *addresses, block.top))
        return words


_ARRAYS = ("keys", "key_scale", "values", "value_scale")


def _attend(call: tuple) -> None:
    parts = call[6]
    load_kernels().attend(*call[:6], parts.buffer_info()[0], *call[7:])


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "synapnet-memory")
