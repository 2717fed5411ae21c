"""One generic registry for tasks, policies, variants and figures."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class UnknownNameError(ValueError):
    """An unregistered name was asked for; the message lists near matches and what exists."""


class Registry(Generic[T]):
    """Names mapped to objects, each registered exactly once.

    Parameters
    ----------
    kind : str
        What the registry holds, in the singular ("task", "policy"); used in messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that stores its argument under `name`.

        Raises
        ------
        ValueError
            If `name` is taken: a second registration is always a mistake.
        """

        def store(item: T) -> T:
            self.add(name, item)
            return item

        return store

    def add(self, name: str, item: T) -> None:
        """Store `item` under `name`; raises ValueError if the name is taken."""
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = item

    def get(self, name: str) -> T:
        """Return the item called `name`; raises UnknownNameError with suggestions."""
        try:
            return self._items[name]
        except KeyError:
            raise UnknownNameError(self._describe_unknown(name)) from None

    def names(self) -> list[str]:
        """All names, in order of registration."""
        return list(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def _describe_unknown(self, name: str) -> str:
        near = difflib.get_close_matches(str(name), self._items, n=3)
        hint = f" (did you mean {', '.join(near)}?)" if near else ""
        return f"unknown {self.kind} {name!r}{hint}; available: {', '.join(self._items)}"
