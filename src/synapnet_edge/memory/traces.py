"""What each entry's future reads were, recorded in a pass with full memory."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.models.stores import UnboundedStore


class ReadTrace:
    """Read mass per entry and chunk of a full-memory pass.

    Parameters
    ----------
    mass : Tensor
        [C, L, B, N] float32, mass[c, l, b, n] = attention probability that entry n received from the queries
        of chunk c, summed over heads and queries.
    position : Tensor
        [L, B, N] absolute token index of the entries, in the order in which they were written.
    written : Tensor
        [N] chunk in which the entries were written.
    """

    def __init__(self, mass: Tensor, position: Tensor, written: Tensor) -> None:
        if mass.shape[1:] != position.shape or written.shape != position.shape[-1:]:
            shapes = [tuple(x.shape) for x in (mass, position, written)]
            raise ValueError(f"mass [C, L, B, N], position [L, B, N], written [N] expected, got {shapes}")
        self.mass = mass
        self.position = position
        self.written = written
        self._accumulated = mass.double().cumsum(dim=0)

    @classmethod
    def from_store(cls, store: UnboundedStore, n_layers: int, slots: int) -> ReadTrace:
        """Collect the recordings of `UnboundedStore(record_mass=True)` after a pass.

        Parameters
        ----------
        store : UnboundedStore
            Its unfinished last chunk is closed here.
        n_layers, slots : int
            Layers, and entries written per chunk and layer.

        Raises
        ------
        ValueError
            If the store recorded nothing: the rows were not longer than one chunk.
        """
        store.flush_mass()
        if not store.mass_by_chunk:
            raise ValueError("the pass recorded no reads: rows must be longer than one chunk")
        position = torch.stack([store.positions[layer].cpu() for layer in range(n_layers)])
        chunks = 1 + len(store.mass_by_chunk[0])
        mass = torch.zeros(chunks, *position.shape)
        for layer in range(n_layers):
            for chunk, seen in enumerate(store.mass_by_chunk[layer], start=1):  # chunk 0 has nothing to read
                mass[chunk, layer, :, : seen.shape[1]] = seen.float().cpu()
        return cls(mass, position, torch.arange(position.shape[-1]) // slots)

    @property
    def chunks(self) -> int:
        """Number of chunks with recorded reads, the first included."""
        return self.mass.shape[0]

    def accumulated(self, chunk: int) -> Tensor:
        """[L, B, N] mass received up to and including `chunk`."""
        return self._accumulated[min(chunk, self.chunks - 1)]

    def future(self, chunk: int) -> Tensor:
        """[L, B, N] mass received after `chunk` (never negative)."""
        return (self._accumulated[-1] - self.accumulated(chunk)).clamp_min(0.0)
