"""Entry formats FP16 (hot) and INT8 (warm, summaries), and the blocks of slots that hold them."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from synapnet_edge.memory.compiled import calls as compiled

#: Smallest normal FP16 number: a scale below it would lose its precision or underflow to zero.
SCALE_FLOOR = 6.2e-5

#: Per-entry bookkeeping: name -> (dtype, value of an empty slot). All of it counts in the byte ledger.
METADATA: dict[str, tuple[torch.dtype, float]] = {
    "position": (torch.int32, -1),  # absolute token index; -1 marks an empty slot
    "log_salience": (torch.float16, 0.0),
    "count": (torch.float32, 0.0),  # tokens the entry stands for
    "mass": (torch.float32, 0.0),  # read mass of all finished chunks
    "chunk_mass": (torch.float32, 0.0),  # read mass of the open chunk
    "last_read": (torch.int32, 0),  # chunk of the last use (of the write, while unread)
    "written": (torch.int32, 0),  # chunk of the write
    "reads": (torch.int32, 0),  # chunks in which the entry was used
}

#: A batch of entries: payload and metadata, every tensor [L, B, N, ...].
Entries = dict[str, Tensor]

FORMATS = ("fp16", "int8")


def quantize_int8(x: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric absmax INT8 over the last axis.

    Parameters
    ----------
    x : Tensor
        [..., H, d].

    Returns
    -------
    codes : Tensor
        int8 [..., H, d] in -127..127.
    scale : Tensor
        float16 [..., H]. It is rounded to FP16 before the division, so that codes fit the stored scale.
    """
    x = x.float()
    scale = (x.abs().amax(dim=-1) / 127.0).clamp_min(SCALE_FLOOR).to(torch.float16)
    codes = (x / scale.float().unsqueeze(-1)).round().clamp_(-127, 127).to(torch.int8)
    return codes, scale


def dequantize_int8(codes: Tensor, scale: Tensor) -> Tensor:
    """Return float32 [..., H, d] of int8 codes and their float16 scales [..., H]."""
    return codes.float() * scale.float().unsqueeze(-1)


def entry_bytes(entry_format: str, heads: int, width: int, note: int = 0) -> int:
    """Bytes of one stored entry (key, value, scales and all counters) of `heads` x `width` channels.

    `note` is the number of FP16 values that its policy keeps about it.

    Raises
    ------
    ValueError
        If the format is unknown.
    """
    layout = _layout(entry_format, heads, width, note)
    return sum(math.prod(shape) * dtype.itemsize for dtype, shape, _ in layout.values())


def share_out(
    budget: int,
    n_layers: int,
    formats: list[str],
    hot_share: float,
    heads: int,
    width: int,
    note: int = 0,
) -> dict[str, int]:
    """Entries per layer and stream that each format may hold; together never more than `budget` bytes.

    Parameters
    ----------
    budget : int
        Bytes of one stream over all layers.
    formats : list of str
        One format, or "fp16" and "int8": then FP16 gets `hot_share` of the bytes.

    Raises
    ------
    ValueError
        If the budget does not hold one entry per layer.
    """
    sizes = {name: entry_bytes(name, heads, width, note) for name in formats}
    share = budget // n_layers
    capacities = {}
    for name in formats:
        part = share if name == formats[-1] else int(share * hot_share)
        capacities[name] = part // sizes[name]
        share -= capacities[name] * sizes[name]
    if not any(capacities.values()):
        least = sizes[formats[-1]] * n_layers
        raise ValueError(f"a budget of {budget} bytes holds no entry; {least} bytes are the least")
    return capacities


def take(entries: Entries, index: Tensor) -> Entries:
    """Gather slots index [L, B, K] from every tensor of `entries`: payload and metadata move together."""
    flat = _flat(index, entries["position"].shape[2])
    return {
        name: x.reshape(-1, *x.shape[3:]).index_select(0, flat).reshape(*index.shape, *x.shape[3:])
        for name, x in entries.items()
    }


def choose(condition: Tensor, yes: Entries, no: Entries) -> Entries:
    """Entry-wise `yes` where condition [L, B, K] holds, else `no`."""
    return {name: torch.where(_trail(condition, x), x, no[name]) for name, x in yes.items()}


def join(first: Entries, second: Entries) -> Entries:
    """Concatenate along the slot axis."""
    return {name: torch.cat([x, second[name]], dim=2) for name, x in first.items()}


class Block:
    """Slots of one format for all layers and streams, used in place.

    Arrays start small and double up to `capacity`, so what is resident never exceeds the budget's share,
    however long the stream, and a large budget costs nothing before it is needed.

    Parameters
    ----------
    entry_format : {"fp16", "int8"}
    capacity : int
        Most entries per layer and stream; of the largest layer, if `limits` are given.
    layers, batch, heads, width : int
        Array sizes; width = channels per head.
    note : int
        FP16 numbers the policy keeps about an entry.
    limits : list of int, optional
        Most entries of each layer. Arrays are as wide as the largest: unequal layers keep the ledger, not
        the allocation, at the budget.

    Attributes
    ----------
    data : Entries
        The arrays, [L, B, S, ...] with S allocated slots.
    top : int
        High-water mark: slots at or above it are empty in every row.
    """

    def __init__(
        self,
        entry_format: str,
        capacity: int,
        *,
        layers: int,
        batch: int,
        heads: int,
        width: int,
        device: torch.device,
        note: int = 0,
        limits: list[int] | None = None,
    ) -> None:
        self.entry_format = entry_format
        self.capacity = capacity
        self.limits = torch.tensor(limits or [capacity] * layers, device=device)
        self.equal = limits is None or min(limits) == max(limits)
        self.top = 0
        self.entry_bytes = entry_bytes(entry_format, heads, width, note)
        self.data = {
            name: torch.full((layers, batch, 0, *shape), fill, dtype=dtype, device=device)
            for name, (dtype, shape, fill) in _layout(entry_format, heads, width, note).items()
        }

    @property
    def slots(self) -> int:
        """S, allocated slots."""
        return self.data["position"].shape[2]

    @property
    def live(self) -> Tensor:
        """[L, B, S] bool: occupied slots."""
        return self.data["position"] >= 0

    def restricted(self, data: Entries) -> Block:
        """The same format over other arrays; nothing is copied."""
        block = copy.copy(self)
        block.data, block.top = data, data["position"].shape[2]
        return block

    def free(self) -> int:
        """Slots every row of every layer has left, counting what is not allocated yet."""
        if self.limits.device.type == "cpu":
            return compiled.least_free(self)
        used = self.live.sum(dim=-1)
        return int((self.limits[:, None] - used).min()) if used.numel() else self.capacity

    def resident_bytes(self) -> int:
        """Bytes of the allocated arrays."""
        return sum(x.numel() * x.element_size() for x in self.data.values())

    def encode(self, entries: Entries) -> Entries:
        """Bring entries with float payload into this block's format."""
        if self.entry_format == "fp16":
            return entries
        packed = {}
        for part, scale in (("keys", "key_scale"), ("values", "value_scale")):
            x = entries[part]
            if x.device.type == "cpu" and x.dtype is torch.float16:  # as new entries are
                packed[part], packed[scale] = compiled.quantize_int8(x, SCALE_FLOOR)
            else:
                packed[part], packed[scale] = quantize_int8(x)
        return {**entries, **packed}

    def decode(self, entries: Entries) -> Entries:
        """Bring entries of this block's format to FP16 payload (INT8 loss is not undone)."""
        if self.entry_format == "fp16":
            return entries
        plain = {name: x for name, x in entries.items() if not name.endswith("_scale")}
        for part, scale in (("keys", "key_scale"), ("values", "value_scale")):
            plain[part] = dequantize_int8(entries[part], entries[scale]).to(torch.float16)
        return plain

    def payload(self, part: str, layer: int, stream: int, slots: int | None = None) -> Tensor:
        """Float [slots, H, d] of "keys" or "values" of one layer and stream, dequantised for this use only.

        One stream at a time: its floats stay in the processor's cache, where those of a whole batch would
        pass through memory at every operation (several times slower). `slots` is the high-water mark by
        default.
        """
        slots = self.top if slots is None else slots
        x = self.data[part][layer, stream, :slots]
        if self.entry_format == "fp16":
            return x
        return dequantize_int8(x, self.data[part.removesuffix("s") + "_scale"][layer, stream, :slots])

    def load(self, saved: Entries) -> None:
        """Fill an empty block with saved arrays [L, B, top, ...]."""
        self.top = saved["position"].shape[2]
        if self.top > self.capacity:
            raise ValueError(f"{self.top} saved slots do not fit a capacity of {self.capacity}")
        self.reserve(0)
        for name, x in self.data.items():
            x[:, :, : self.top] = saved[name]

    def reserve(self, extra: int) -> None:
        """Allocate room for `extra` more entries per row, as far as the capacity allows."""
        slots = self.data["position"].shape[2]
        wanted = min(self.capacity, self.top + extra)
        if wanted <= slots:
            return
        grown = min(self.capacity, max(wanted, 2 * slots))
        for name, x in self.data.items():
            fill = METADATA[name][1] if name in METADATA else 0
            new = torch.full((*x.shape[:2], grown, *x.shape[3:]), fill, dtype=x.dtype, device=x.device)
            new[:, :, :slots] = x
            self.data[name] = new

    def clear(self, gone: Tensor) -> None:
        """Empty the slots gone [L, B, S]; what they held is dead and may be overwritten."""
        self.data["position"].masked_fill_(gone, -1)
        self.data["count"].masked_fill_(gone, 0.0)

    def put(self, slots: Tensor, entries: Entries) -> None:
        """Overwrite slots [L, B, K]."""
        flat = _flat(slots, self.data["position"].shape[2])
        for name, x in self.data.items():
            rows = entries[name].to(x.dtype).reshape(-1, *x.shape[3:])
            x.view(-1, *x.shape[3:]).index_copy_(0, flat, rows)


def _layout(
    entry_format: str, heads: int, width: int, note: int
) -> dict[str, tuple[torch.dtype, tuple[int, ...], float]]:
    """Name -> (dtype, shape of one entry, fill) of everything stored for an entry."""
    if entry_format not in FORMATS:
        raise ValueError(f"entry format must be one of {', '.join(FORMATS)}, got {entry_format!r}")
    payload = torch.float16 if entry_format == "fp16" else torch.int8
    layout = {part: (payload, (heads, width), 0.0) for part in ("keys", "values")}
    if entry_format == "int8":
        layout |= {part: (torch.float16, (heads,), 0.0) for part in ("key_scale", "value_scale")}
    if note:
        layout["note"] = (torch.float16, (note,), 0.0)
    return layout | {name: (dtype, (), fill) for name, (dtype, fill) in METADATA.items()}


def _trail(index: Tensor, x: Tensor) -> Tensor:
    return index.reshape(*index.shape, *([1] * (x.dim() - 3)))


def _flat(index: Tensor, slots: int) -> Tensor:
    """Row numbers of index [L, B, K] in arrays flattened to rows, so that a whole entry moves at once."""
    first = torch.arange(index.shape[0] * index.shape[1], device=index.device) * slots
    return (index.reshape(first.numel(), -1) + first[:, None]).flatten()
