"""Asking a stream something without a trace: a copy of its state over a read-only view of its memory."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from synapnet_edge.models.state import EntryStore, InPlaceEntries, MemoryView, ModelState


class ReadOnlyStore(EntryStore):
    """View of a store for a question that must leave no trace: reads pass, read mass is dropped."""

    def __init__(self, store: EntryStore) -> None:
        self._store = store
        self.wants_mass = store.wants_mass  # the question then runs the same code as the stream

    def read(self, layer: int) -> MemoryView | None:
        return self._store.read(layer)

    def in_place(self, layer: int) -> InPlaceEntries | None:
        return self._store.in_place(layer)

    def observe_read(self, layer: int, mass: Tensor) -> None:
        """Forget the mass: a question is not part of the stream."""

    def write(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a question closed its chunk: it must not write to the memory")

    end_chunk = write


def fork(state: ModelState) -> ModelState:
    """Copy of a state whose steps change neither the original nor its store."""
    return _cloned(state)


def _cloned(x: Any) -> Any:
    """Deep copy of containers and tensors; a store becomes a read-only view of itself."""
    if isinstance(x, Tensor):
        return x.clone()
    if isinstance(x, EntryStore):
        return ReadOnlyStore(x)
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        names = [field.name for field in dataclasses.fields(x)]
        return dataclasses.replace(x, **{name: _cloned(getattr(x, name)) for name in names})
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(_cloned, x))
    if isinstance(x, (list, tuple)):
        return type(x)(map(_cloned, x))
    if isinstance(x, dict):
        return {key: _cloned(value) for key, value in x.items()}
    return x
