"""Bytes of the arrays that an object holds: carried states, stores, models of any library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch


def held_bytes(thing: Any, besides: Any = None) -> int:
    """Bytes of all tensors and arrays reachable from `thing`, each piece of memory once.

    Parameters
    ----------
    thing : any object; attributes, slots, containers and modules are followed.
    besides : what is held by this object too does not count (a state may point at its model).
    """
    known = dict(_buffers(besides, set())) if besides is not None else {}
    return sum(size for address, size in dict(_buffers(thing, set())).items() if address not in known)


def _buffers(thing: Any, seen: set[int]) -> Iterator[tuple[int, int]]:
    """(address, bytes) of every buffer below `thing`."""
    if thing is None or isinstance(thing, (str, bytes, int, float, bool, type)) or id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        storage = thing.untyped_storage()
        yield storage.data_ptr(), storage.nbytes()
    elif isinstance(thing, np.ndarray):
        base = thing
        while isinstance(base.base, np.ndarray):
            base = base.base
        yield base.ctypes.data, base.nbytes
    elif isinstance(thing, torch.nn.Module):
        for tensor in [*thing.parameters(), *thing.buffers()]:
            yield from _buffers(tensor, seen)
        yield from _attributes(thing, seen)
    elif isinstance(thing, Mapping):
        for value in list(thing.values()):
            yield from _buffers(value, seen)
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for value in thing:
            yield from _buffers(value, seen)
    elif type(thing).__module__.split(".")[0] in _FOLLOWED:
        yield from _attributes(thing, seen)


# Objects of other libraries are leaves: following them would walk through interpreters and sessions.
_FOLLOWED = ("synapnet_edge", "transformers", "tests")


def _attributes(thing: Any, seen: set[int]) -> Iterator[tuple[int, int]]:
    values = list(getattr(thing, "__dict__", {}).values())
    for cls in type(thing).__mro__:
        names = getattr(cls, "__slots__", ())
        names = (names,) if isinstance(names, str) else names
        values += [getattr(thing, name) for name in names if hasattr(thing, name)]
    for value in values:
        yield from _buffers(value, seen)
