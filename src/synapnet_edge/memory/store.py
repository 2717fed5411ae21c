"""EpisodicStore: the memory of all layers of a batch of streams under one byte budget per stream."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from synapnet_edge.memory.decision import score_entries
from synapnet_edge.memory.ledger import by_tier, bytes_per_stream, entries_per_layer
from synapnet_edge.memory.policies.base import POLICIES, Policy
from synapnet_edge.memory.staging import Staging, new_entries
from synapnet_edge.memory.summaries import merge_into_like, promote_and_demote
from synapnet_edge.memory.tiers import Block, Entries, entry_bytes, share_out
from synapnet_edge.models.state import EntryStore, MemoryView

_ALLOWED = (("fp16",), ("int8",), ("fp16", "int8"), ("int8", "summary"), ("fp16", "int8", "summary"))

F = TypeVar("F", bound=Callable[..., Any])


def _plain_tensors(method: F) -> F:
    """Run without autograd, inference mode and autocast: the arrays live longer than any caller's mode."""

    @wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as modes:
            modes.enter_context(torch.inference_mode(False))
            modes.enter_context(torch.no_grad())
            for device in ("cpu", "cuda", "mps"):
                if torch.is_autocast_enabled(device):
                    modes.enter_context(torch.autocast(device, enabled=False))
            return method(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


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
        self.wants_mass = self.policy.wants_mass
        self.tiers = tuple(tiers)
        self.hot_share, self.merge_threshold = hot_share, merge_threshold
        self.max_moves, self.marks = max_moves, marks
        self.budget = budget_bytes
        self._entries_per_layer = entries_per_layer
        self.step = 0
        self.blocks: list[Block] = []
        self._staging = Staging(n_layers)
        self._dtype = torch.float32
        self.evicted = self.merged = torch.zeros(n_layers, 1, dtype=torch.int64)

    @_plain_tensors
    def read(self, layer: int) -> MemoryView | None:
        """Entries of finished chunks, dequantised for this read; None while there are none."""
        blocks = [block for block in self.blocks if block.top]
        if not blocks:
            return None
        keys, values = (self._payload(part, layer).transpose(1, 2) for part in ("keys", "values"))
        meta = {
            name: _concatenate([block.data[name][layer, :, : block.top] for block in blocks], 1)
            for name in ("log_salience", "count")
        }
        bias = meta["log_salience"].float() + meta["count"].log()  # log 0 = -inf in empty slots
        return MemoryView(keys, values, bias, meta["count"].sum(dim=1))

    @_plain_tensors
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
            self._allocate(*sizes, keys.device)
        if sizes != self._sizes:
            raise ValueError(f"store holds (streams, heads, width) {self._sizes}, got {sizes}")
        self._dtype = keys.dtype
        self._staging.add(layer, entries)

    @_plain_tensors
    def observe_read(self, layer: int, mass: Tensor) -> None:
        """Add the read mass [B, N] of one piece; it is folded in at the chunk's end, whatever the pieces."""
        if mass.shape[1] != sum(block.top for block in self.blocks):
            expected = sum(block.top for block in self.blocks)
            raise ValueError(f"layer {layer} shows {expected} slots, mass has {mass.shape[1]}")
        start = 0
        for block in self.blocks:
            block.data["chunk_mass"][layer, :, : block.top] += mass[:, start : start + block.top]
            start += block.top

    @_plain_tensors
    def end_chunk(self) -> None:
        """Admit the staged entries: score once, demote, merge and evict until the budget holds."""
        self._fold_reads()
        if self._staging:
            self._admit(self._staging.collect())
        self.step += 1

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
            If entries are staged: save after `end_chunk`.
        """
        if self._staging:
            raise ValueError("entries of an unfinished chunk are staged; save after end_chunk")
        tensors = {"step": torch.tensor(self.step)}
        if self.blocks:
            tensors |= {"budget": torch.tensor(self.budget), "sizes": torch.tensor(self._sizes)}
            tensors |= {"evicted": self.evicted.clone(), "merged": self.merged.clone()}
        for index, block in enumerate(self.blocks):
            tensors |= {f"{index}.{name}": x[:, :, : block.top].clone() for name, x in block.data.items()}
        return tensors | {f"policy.{name}": x for name, x in self.policy.state_dict().items()}

    @_plain_tensors
    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_dict`.

        Raises
        ------
        ValueError
            If it was saved under another budget or other tiers.
        """
        self.step, self._staging, self.blocks = int(tensors["step"]), Staging(self.n_layers), []
        if "sizes" in tensors:
            self._allocate(*tensors["sizes"].tolist(), tensors["evicted"].device)
            if int(tensors["budget"]) != self.budget:
                found = int(tensors["budget"])
                raise ValueError(f"saved with a budget of {found} bytes, this store has {self.budget}")
            self.evicted, self.merged = tensors["evicted"].clone(), tensors["merged"].clone()
        for index, block in enumerate(self.blocks):
            saved = {name: tensors.get(f"{index}.{name}") for name in block.data}
            missing = [name for name, x in saved.items() if x is None or x.dtype != block.data[name].dtype]
            if missing or f"{len(self.blocks)}.keys" in tensors:
                raise ValueError(f"saved with other tiers than {self.tiers} (block {index}: {missing})")
            block.load(saved)
        prefix = "policy."
        own = {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
        self.policy.load_state_dict(own)

    def _allocate(self, batch: int, heads: int, width: int, device: torch.device) -> None:
        formats = [tier for tier in self.tiers if tier != "summary"]
        if self._entries_per_layer is not None:
            self.budget = self._entries_per_layer * entry_bytes(formats[0], heads, width) * self.n_layers
        capacities = share_out(self.budget, self.n_layers, formats, self.hot_share, heads, width)
        arrays = {"layers": self.n_layers, "batch": batch, "heads": heads, "width": width, "device": device}
        self.blocks = [Block(name, capacities[name], **arrays) for name in formats]
        self._sizes = (batch, heads, width)
        self.evicted = torch.zeros(self.n_layers, batch, dtype=torch.int64, device=device)
        self.merged = torch.zeros_like(self.evicted)
        self.policy.start(self.n_layers, batch)

    def _payload(self, part: str, layer: int) -> Tensor:
        """[B, N, H, d] of "keys" or "values" of one layer in the model's dtype."""
        batch, heads, width = self._sizes
        total = sum(block.top for block in self.blocks)
        out = torch.empty(batch, total, heads, width, dtype=self._dtype, device=self.evicted.device)
        for stream in range(batch):
            start = 0
            for block in self.blocks:
                out[stream, start : start + block.top] = block.payload(part, layer, stream)
                start += block.top
        return out

    def _fold_reads(self) -> None:
        if not (self.wants_mass and self.blocks):
            return
        data = [block.data for block in self.blocks]
        mass = torch.cat([x["chunk_mass"] for x in data], dim=2)
        used = self.policy.observe_read(mass, torch.cat([block.live for block in self.blocks], dim=2))
        for x, hit in zip(data, used.split([x["mass"].shape[2] for x in data], dim=2), strict=True):
            x["mass"] += x["chunk_mass"]
            x["chunk_mass"].zero_()
            x["reads"] += hit
            x["last_read"].masked_fill_(hit, self.step)

    def _admit(self, incoming: Entries) -> None:
        new = incoming["position"]
        self.policy.observe_write(new, new >= 0)
        for block in self.blocks:
            block.reserve(new.shape[2])
        *stored, arriving = score_entries(self.policy, self.blocks, incoming, self.step)
        after = []
        for block, own in zip(self.blocks, stored, strict=True):
            own, incoming, arriving = block.exchange(own, block.encode(incoming), arriving)
            after.append(own)
        if len(self.blocks) == 2:
            promote_and_demote(*self.blocks, *after, marks=self.marks, max_moves=self.max_moves)
        gone = incoming["position"] >= 0
        if "summary" in self.tiers and bool(gone.any()):
            merged = merge_into_like(self.blocks[-1], incoming, gone, self.merge_threshold)
            self.merged += merged.sum(dim=2)
            gone = gone & ~merged
        self.evicted += gone.sum(dim=2)


def _concatenate(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat([x.float() for x in parts], dim=dim)
