"""EpisodicStore: the memory of all layers of a batch of streams under one byte budget per stream."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from synapnet_edge.memory.decision import fill_best
from synapnet_edge.memory.in_place import StoredEntries, read_bias
from synapnet_edge.memory.ledger import by_tier, bytes_per_stream, entries_per_layer
from synapnet_edge.memory.plain import plain_tensors
from synapnet_edge.memory.policies.base import POLICIES, Policy
from synapnet_edge.memory.reads import ReadCollector
from synapnet_edge.memory.rounds import admit, describe, fold_reads
from synapnet_edge.memory.saving import load_store, store_tensors
from synapnet_edge.memory.staging import Staging, new_entries
from synapnet_edge.memory.tiers import Block, entry_bytes, share_out
from synapnet_edge.models.attend import BlockWatch
from synapnet_edge.models.state import EntryStore, InPlaceEntries, MemoryView

_ALLOWED = (("fp16",), ("int8",), ("fp16", "int8"), ("int8", "summary"), ("fp16", "int8", "summary"))


class EpisodicStore(EntryStore):
    """Entries of B independent streams; for each of them `bytes <= budget` after every operation.

    The budget covers everything kept per entry (payload, scales, position, counters) over all layers; every
    layer gets the same share. Entries of the chunk being written wait in a staging area that belongs to
    the open chunk (like its attention keys), cannot be read, and is reported as `staging_bytes`. At
    `end_chunk` the policy scores stored and new entries of all layers once and the best stay.

    With several tiers, new entries enter as FP16; what the FP16 share cannot hold is demoted to INT8; what
    the INT8 share cannot hold is merged into a like entry (a summary) or evicted.

    Parameters
    ----------
    n_layers : int
    policy : Policy or str
        Ranking of entries; a name is looked up in `POLICIES`.
    budget_bytes : int, optional
        Bytes per stream. Give this or `entries_per_layer`.
    entries_per_layer : int, optional
        Budget as the bytes of this many entries in the format of the first tier, in every layer.
    tiers : tuple of str
        ("fp16",), ("int8",), ("fp16", "int8"), ("int8", "summary") or ("fp16", "int8", "summary").
    hot_share : float
        Share of the budget for the FP16 tier when there are more tiers.
    merge_threshold : float
        Least cosine of keys (mean over heads) for a merge.
    max_moves : int
        Most FP16/INT8 swaps per layer and chunk.
    marks : (float, float)
        Quantiles of the FP16 scores: an INT8 entry above the high mark may replace an FP16 entry below the
        low mark. The gap between them keeps entries from moving to and fro.
    """

    def __init__(
        self,
        n_layers: int,
        policy: Policy | str,
        *,
        budget_bytes: int | None = None,
        entries_per_layer: int | None = None,
        tiers: tuple[str, ...] = ("fp16",),
        hot_share: float = 0.25,
        merge_threshold: float = 0.9,
        max_moves: int = 8,
        marks: tuple[float, float] = (0.4, 0.6),
    ) -> None:
        if (budget_bytes is None) == (entries_per_layer is None):
            raise ValueError("give exactly one of budget_bytes and entries_per_layer")
        if tuple(tiers) not in _ALLOWED:
            raise ValueError(f"tiers must be one of {_ALLOWED}, got {tuple(tiers)}")
        if not 0.0 < hot_share < 1.0:
            raise ValueError(f"hot_share must lie between 0 and 1, got {hot_share}")
        if not 0.0 <= marks[0] <= marks[1] <= 1.0:
            raise ValueError(f"marks must be 0 <= low <= high <= 1, got {marks}")
        self.n_layers = n_layers
        self.policy = POLICIES.get(policy)() if isinstance(policy, str) else policy
        self.wants_mass, self.wants_queries = self.policy.wants_mass, self.policy.wants_queries
        self.wants_blocks = self.policy.observes_open
        self.tiers = tuple(tiers)
        self.hot_share, self.merge_threshold = hot_share, merge_threshold
        self.max_moves, self.marks = max_moves, marks
        self.budget = budget_bytes
        self._entries_per_layer = entries_per_layer
        self.step = 0
        self.blocks: list[Block] = []
        self.tokens = self.open_tokens = (
            0  # of finished chunks and of the open one, if the policy needs places in it
        )
        self._staging = Staging(n_layers)
        self.open_queries: list[list[Tensor]] = [[] for _ in range(n_layers)]
        self.read_statistics = ReadCollector(n_layers, self.policy.history_rows, self.policy.counts_low)
        self.dtype = torch.float32
        self.evicted = self.merged = torch.zeros(n_layers, 1, dtype=torch.int64)

    @plain_tensors
    def read(self, layer: int) -> MemoryView | None:
        """Entries of finished chunks, dequantised for this read; None while there are none."""
        blocks = [block for block in self.blocks if block.top]
        if not blocks:
            return None
        keys, values = (self._payload(part, layer).transpose(1, 2) for part in ("keys", "values"))
        bias, count = read_bias(blocks, layer)
        return MemoryView(keys, values, bias, count)

    @plain_tensors
    def in_place(self, layer: int) -> InPlaceEntries | None:
        """Entries of finished chunks as they are stored, for compiled reads; None without, or off the CPU."""
        blocks = [block for block in self.blocks if block.top]
        return StoredEntries(blocks, layer) if blocks and self.evicted.device.type == "cpu" else None

    @plain_tensors
    def write(
        self,
        layer: int,
        keys: Tensor,
        values: Tensor,
        log_salience: Tensor,
        positions: Tensor,
        query: Tensor | None = None,
    ) -> None:
        """Stage K entries; they become readable at `end_chunk`. An entry of salience -inf is padding."""
        if not 0 <= layer < self.n_layers:
            raise ValueError(f"layer must be in 0..{self.n_layers - 1}, got {layer}")
        entries = new_entries(keys, values, log_salience, positions, self.step)
        sizes = (keys.shape[0], keys.shape[1], keys.shape[3])
        if not self.blocks:
            self.allocate(*sizes, keys.device)
        if sizes != self.sizes:
            raise ValueError(f"store holds (streams, heads, width) {self.sizes}, got {sizes}")
        self.dtype = keys.dtype
        describe(self, layer, entries, positions)
        self._staging.add(layer, entries)

    @plain_tensors
    def observe_read(self, layer: int, mass: Tensor) -> None:
        """Add the read mass [B, N] of one piece; it is folded in at the chunk's end, whatever the pieces."""
        if mass.shape[1] != sum(block.top for block in self.blocks):
            expected = sum(block.top for block in self.blocks)
            raise ValueError(f"layer {layer} shows {expected} slots, mass has {mass.shape[1]}")
        start = 0
        for block in self.blocks:
            block.data["chunk_mass"][layer, :, : block.top] += mass[:, start : start + block.top]
            start += block.top

    def watch_blocks(self, layer: int, bias: Tensor) -> BlockWatch | None:
        """See `EntryStore`; asked for only by policies that need more than the sums of `observe_read`."""
        if not self.policy.observes_open:
            return None
        if layer == 0 and not self.wants_queries:
            self.open_tokens += bias.shape[2]
        return self.read_statistics.watch(layer, bias, sum(block.top for block in self.blocks))

    @plain_tensors
    def observe_queries(self, layer: int, query: Tensor) -> None:
        """Keep the open chunk's queries for its entries' notes, and show them to the policy."""
        self.policy.observe_queries(layer, query)
        if layer == 0:
            self.open_tokens += query.shape[2]
        if self.policy.note_width:
            self.open_queries[layer].append(query.detach())

    @plain_tensors
    def end_chunk(self) -> None:
        """Admit the staged entries: score once, demote, merge and evict until the budget holds."""
        fold_reads(self)
        if self._staging:
            admit(self, self._staging.collect())
        self.tokens, self.open_tokens = self.tokens + self.open_tokens, 0
        self.open_queries = [[] for _ in self.open_queries]
        self.read_statistics.forget()
        self.step += 1

    @plain_tensors
    def compressed(self, budget_bytes: int, before: int) -> EpisodicStore:
        """A new store of `budget_bytes` per stream with the best entries of this one, scored now.

        Compression in one go, for a memory that was read in full first: what the open chunk has read so far
        takes part in the scores.

        Parameters
        ----------
        budget_bytes : int
        before : int
            Entries from this position on are left out.

        Raises
        ------
        ValueError
            If this store has several tiers or entries of an unfinished chunk are staged.
        """
        if len(self.tiers) > 1 or self._staging:
            raise ValueError(f"only finished chunks of one tier can be compressed, got tiers {self.tiers}")
        fold_reads(self)
        small = EpisodicStore(self.n_layers, self.policy, budget_bytes=budget_bytes, tiers=self.tiers)
        small.allocate(*self.sizes, self.evicted.device)
        fill_best(small.blocks[0], self.blocks[0], self.policy, self.step, before)
        small.step, small.tokens, small.dtype = self.step, self.tokens, self.dtype
        return small

    def bytes_used(self) -> Tensor:
        """[B] int64: bytes of the live entries of each stream, over all layers and tiers."""
        return bytes_per_stream(self.blocks) if self.blocks else torch.zeros(1, dtype=torch.int64)

    def staging_bytes(self) -> int:
        """Bytes of the open chunk's entries, all streams together."""
        return self._staging.bytes()

    def resident_bytes(self) -> int:
        """Bytes of all allocated arrays, all streams together."""
        return sum(block.resident_bytes() for block in self.blocks)

    def live_entries(self) -> Tensor:
        """[L, B] number of entries."""
        return entries_per_layer(self.blocks) if self.blocks else torch.zeros(self.n_layers, 1).long()

    def held_positions(self) -> Tensor:
        """[L, B, N] absolute positions of the entries, -1 = empty. A summary counts as its best member."""
        if not self.blocks:
            raise ValueError("nothing has been written yet")
        return torch.cat([block.data["position"][:, :, : block.top] for block in self.blocks], dim=2)

    def debug(self) -> dict[str, Any]:
        """The ledger: budget, bytes and entries by tier (largest stream), evictions, entries per layer."""
        tiers = by_tier(self.blocks)
        return {
            "policy": self.policy.describe(),
            "budget_bytes": self.budget,
            "bytes": int(self.bytes_used().max()),
            "bytes_by_tier": {tier: size for tier, (size, _) in tiers.items()},
            "entries_by_tier": {tier: entries for tier, (_, entries) in tiers.items()},
            "entries_per_layer": self.live_entries().float().mean(dim=1).tolist(),
            "evicted": int(self.evicted.sum()),
            "evicted_per_layer": self.evicted.sum(dim=1).tolist(),
            "merged": int(self.merged.sum()),
            "staging_bytes": self.staging_bytes(),
            "resident_bytes": self.resident_bytes(),
            "chunks": self.step,
        }

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(policy={self.policy.describe()!r}, tiers={self.tiers}, "
            f"budget_bytes={self.budget}, n_layers={self.n_layers})"
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Plain tensors from which an identically configured store continues with the same numbers.

        Raises
        ------
        ValueError
            If entries are staged, or the policy watches more of an open chunk's reads than their sums: save
            after `end_chunk`.
        """
        if self._staging:
            raise ValueError("entries of an unfinished chunk are staged; save after end_chunk")
        if self.read_statistics.watching or any(self.open_queries):
            raise ValueError(
                f"policy {self.policy.name!r} watches the reads of an open chunk; save after end_chunk"
            )
        return store_tensors(self)

    @plain_tensors
    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_dict`.

        Raises
        ------
        ValueError
            If it was saved under another budget or other tiers.
        """
        self._staging, self.blocks = Staging(self.n_layers), []
        load_store(self, tensors)

    def allocate(self, batch: int, heads: int, width: int, device: torch.device) -> None:
        """Make the arrays of an empty store; called by the first write."""
        formats = [tier for tier in self.tiers if tier != "summary"]
        note = self.policy.note_width
        if self._entries_per_layer is not None:
            each = entry_bytes(formats[0], heads, width, note)
            self.budget = self._entries_per_layer * each * self.n_layers
        capacities = share_out(self.budget, self.n_layers, formats, self.hot_share, heads, width, note)
        shape = {"layers": self.n_layers, "batch": batch, "heads": heads, "width": width}
        self.blocks = [
            self._block(name, capacities[name], note=note, device=device, **shape) for name in formats
        ]
        self.sizes = (batch, heads, width)
        self.evicted = torch.zeros(self.n_layers, batch, dtype=torch.int64, device=device)
        self.merged = torch.zeros_like(self.evicted)
        self.policy.start(self.n_layers, batch)

    def _block(self, entry_format: str, capacity: int, **shape: Any) -> Block:
        limits = self.policy.layer_capacities(self.n_layers, capacity)
        if sum(limits) > self.n_layers * capacity or min(limits) < 0:
            raise ValueError(
                f"policy {self.policy.name!r} shares {limits} entries, the budget has {capacity} a layer"
            )
        return Block(entry_format, max(limits), limits=limits, **shape)

    def _payload(self, part: str, layer: int) -> Tensor:
        """[B, N, H, d] of "keys" or "values" of one layer in the model's dtype."""
        batch, heads, width = self.sizes
        total = sum(block.top for block in self.blocks)
        out = torch.empty(batch, total, heads, width, dtype=self.dtype, device=self.evicted.device)
        for stream in range(batch):
            start = 0
            for block in self.blocks:
                out[stream, start : start + block.top] = block.payload(part, layer, stream)
                start += block.top
        return out
