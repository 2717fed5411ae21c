"""What a policy sees of the entries when it scores them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor


def _column(name: str, dtype: torch.dtype | None = None) -> cached_property[Tensor]:
    """A counter of all entries, put together when it is first asked for: most policies need one or two."""

    def joined(state: EntryState) -> Tensor:
        parts = [part[name] for part in state.parts]
        column = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        return column if dtype is None else column.to(dtype)

    return cached_property(joined)


class EntryState:
    """Everything known at decision time, for all layers and streams at once; N = stored and new entries.

    Parameters
    ----------
    parts : sequence of mapping
        Counters [L, B, n] of stored and of new entries by their names in `tiers.METADATA`; N = sum of n.
    payload : callable
        (part, layer, stream) -> [N, H, d] float32 of "keys" or "values".
    step : int
    capacity : Tensor

    Attributes
    ----------
    live : Tensor
        [L, B, N] bool; scores of other slots are ignored.
    position : Tensor
        [L, B, N] absolute token index.
    log_salience, count, mass : Tensor
        [L, B, N] float32: log-salience at the write, tokens stood for, read mass received so far (summed
        over heads and queries).
    last_read, written, reads : Tensor
        [L, B, N]: chunk of the last use (the write counts as one), chunk of the write, number of uses.
    note : Tensor or None
        [L, B, N, k] float16, what the policy noted about each entry (`Policy.note_width` numbers).
    step : int
        Index of the chunk just finished.
    capacity : Tensor
        [L] int64, entries that will stay in each layer.
    keys, values : callable
        (layer, stream) -> [N, H, d] float32 payload. Dequantises: only policies that need it pay for it.
    """

    position = _column("position")
    log_salience = _column("log_salience", torch.float32)
    count = _column("count", torch.float32)
    mass = _column("mass", torch.float32)
    last_read = _column("last_read")
    written = _column("written")
    reads = _column("reads")
    _notes = _column("note")

    def __init__(
        self,
        parts: Sequence[Mapping[str, Tensor]],
        payload: Callable[[str, int, int], Tensor],
        *,
        step: int,
        capacity: Tensor,
    ) -> None:
        self.parts, self.step, self.capacity = parts, step, capacity
        self.keys, self.values = partial(payload, "keys"), partial(payload, "values")

    @cached_property
    def live(self) -> Tensor:
        return self.position >= 0

    @property
    def note(self) -> Tensor | None:
        return self._notes if "note" in self.parts[0] else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(L, B, N)."""
        layers, batch, _ = self.parts[0]["position"].shape
        return layers, batch, sum(part["position"].shape[2] for part in self.parts)

    def recent(self, share: float, most: int | None = None) -> int:
        """Length of a window of recent entries: `share` of the smallest layer's capacity, at most `most`."""
        window = int(share * int(self.capacity.min()))
        return window if most is None else min(window, most)
