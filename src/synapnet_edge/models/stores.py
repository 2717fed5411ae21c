"""The model's own memories, differentiable: everything is kept, or a layer's most salient entries."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from synapnet_edge.models.state import EntryStore, MemoryView


class UnboundedStore(EntryStore):
    """Keeps every entry as written. Differentiable: training and the full forward use it.

    Parameters
    ----------
    record_mass : bool
        Accumulate the attention mass each entry receives, one total per finished chunk
        (`mass_by_chunk`): the teacher signal for retention and the oracle policy.
    """

    def __init__(self, record_mass: bool = False) -> None:
        self.wants_mass = record_mass
        self.positions: dict[int, Tensor] = {}
        self.mass_by_chunk: dict[int, list[Tensor]] = {}
        self._entries: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self._open_mass: dict[int, Tensor] = {}

    def chunks_at_once(self, slots: int) -> int:
        return 1 if self.wants_mass else sys.maxsize  # read mass is kept per chunk

    def read(self, layer: int) -> MemoryView | None:
        if layer not in self._entries:
            return None
        keys, values, bias = self._entries[layer]
        count = torch.full((keys.shape[0],), float(keys.shape[2]), device=keys.device)
        return MemoryView(keys, values, bias, count)

    def write(
        self,
        layer: int,
        keys: Tensor,
        values: Tensor,
        log_salience: Tensor,
        positions: Tensor,
        query: Tensor | None = None,
    ) -> None:
        if layer in self._entries:
            old_keys, old_values, old_bias = self._entries[layer]
            keys = torch.cat([old_keys, keys], dim=2)
            values = torch.cat([old_values, values], dim=2)
            log_salience = torch.cat([old_bias, log_salience], dim=1)
            positions = torch.cat([self.positions[layer], positions], dim=1)
        self._entries[layer] = (keys, values, log_salience)
        self.positions[layer] = positions

    def observe_read(self, layer: int, mass: Tensor) -> None:
        seen = self._open_mass.get(layer)
        self._open_mass[layer] = mass if seen is None else seen + mass

    def end_chunk(self) -> None:
        for layer, mass in self._open_mass.items():
            self.mass_by_chunk.setdefault(layer, []).append(mass)
        self._open_mass = {}

    def state_dict(self) -> dict[str, Tensor]:
        """Plain tensors from which another store goes on with the same numbers.

        Raises
        ------
        ValueError
            If read mass is recorded: recordings are not saved.
        """
        if self.wants_mass:
            raise ValueError("a store that records read mass cannot be saved")
        names = ("keys", "values", "log_salience")
        tensors = {f"{layer}.positions": x for layer, x in self.positions.items()}
        for layer, entries in self._entries.items():
            tensors |= {f"{layer}.{name}": x for name, x in zip(names, entries, strict=True)}
        return tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state_dict` returned; raises KeyError if it is of another kind of store."""
        layers = sorted({int(name.partition(".")[0]) for name in tensors if name.endswith(".positions")})
        if len(tensors) != 4 * len(layers):
            raise KeyError(f"positions, keys, values and log_salience expected, got {sorted(tensors)}")
        self.positions = {layer: tensors[f"{layer}.positions"] for layer in layers}
        names = ("keys", "values", "log_salience")
        self._entries = {layer: tuple(tensors[f"{layer}.{name}"] for name in names) for layer in layers}

    def flush_mass(self) -> None:
        """Close an unfinished last chunk, so that its reads are part of `mass_by_chunk`."""
        self.end_chunk()


class SalientStore(UnboundedStore):
    """Keeps the `capacity` most salient entries of every layer: constant memory, and reads that stay as
    they were trained, however long the stream. Differentiable.

    Parameters
    ----------
    capacity : int
        Most entries per layer and stream.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    @classmethod
    def joined(cls, stores: Sequence[SalientStore], capacity: int) -> SalientStore:
        """A store of several streams, each of which begins with what one of `stores`, of one stream, holds.

        They must hold equally many entries; the `capacity` most salient of them are kept.
        """
        joined = cls(capacity)
        for layer in stores[0].positions:
            parts = zip(*(store.entries(layer) for store in stores), strict=True)
            joined.write(layer, *(torch.cat(part) for part in parts))
        return joined

    def entries(self, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Keys and values [B, H, N, d], log-salience and positions [B, N] of what a layer holds."""
        return *self._entries[layer], self.positions[layer]

    def write(
        self,
        layer: int,
        keys: Tensor,
        values: Tensor,
        log_salience: Tensor,
        positions: Tensor,
        query: Tensor | None = None,
    ) -> None:
        super().write(layer, keys, values, log_salience, positions, query)
        keys, values, log_salience = self._entries[layer]
        if log_salience.shape[1] <= self.capacity:
            return
        kept = log_salience.detach().topk(self.capacity, dim=1).indices.sort(dim=1).values
        where = kept[:, None, :, None].expand(-1, keys.shape[1], -1, keys.shape[3])
        self._entries[layer] = (keys.gather(2, where), values.gather(2, where), log_salience.gather(1, kept))
        self.positions[layer] = self.positions[layer].gather(1, kept)
