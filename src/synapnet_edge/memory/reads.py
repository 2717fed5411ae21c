"""Statistics of what a chunk's queries read, collected block by block from the model's own reads."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from synapnet_edge.models.attend import BlockWatch


class ChunkReads(NamedTuple):
    """What the queries of one chunk read; N = slots of the store, or new entries.

    Attributes
    ----------
    mass : Tensor
        [..., N] probability each entry received, summed over heads and queries (column sums).
    low : Tensor or None
        [..., N] number of (head, query) pairs whose weight was below an even share of what they could see.
    recent, last : Tensor or None
        [..., N] probability from the chunk's last w queries and from its very last one, summed over heads.
    """

    mass: Tensor
    low: Tensor | None
    recent: Tensor | None
    last: Tensor | None


class _Layer:
    """Open chunk of one layer: columns are the shown entries, then the chunk's own tokens."""

    def __init__(self, shown: int) -> None:
        self.shown = shown
        self.mass = self.low = torch.zeros(1, 0)
        self.rows: list[Tensor] = []


class ReadCollector:
    """Column sums, low counts and the rows of the last queries of the open chunk, whatever its pieces.

    It belongs to the open chunk, like its attention keys: nothing of it outlives the chunk. Tokens of the
    chunk that become entries keep what their own chunk read of them.

    Parameters
    ----------
    n_layers : int
    rows : int
        w, last queries whose rows are kept; 0 = none.
    low : bool
        Whether low weights are counted.
    """

    def __init__(self, n_layers: int, rows: int, low: bool) -> None:
        self.rows, self.low = rows, low
        self._layers: list[_Layer | None] = [None] * n_layers

    def watch(self, layer: int, bias: Tensor, shown: int) -> BlockWatch:
        """The receiver of one piece's blocks; the first `shown` keys of `bias` [B, 1, T, *] are entries.

        The last key is the null slot; those between are the chunk's tokens up to the piece's end.
        """
        batch, _, length, columns = bias.shape
        columns -= 1
        state = self._layers[layer] = self._layers[layer] or _Layer(shown)
        state.mass = _widened(state.mass.to(bias.device), batch, columns)
        state.low = _widened(state.low.to(bias.device), batch, columns)
        mass, low = state.mass, state.low
        rows = torch.zeros(batch, min(self.rows, length), columns, device=bias.device)
        even = hidden = None
        if self.low:
            hidden = ~torch.isfinite(bias[:, 0])
            even = 1.0 / (~hidden).sum(dim=-1, keepdim=True)  # [B, T, 1]
        if self.rows:
            state.rows.append(rows)
            while sum(x.shape[1] for x in state.rows[1:]) >= self.rows:
                del state.rows[0]

        def block(stream: int, head: int, probabilities: Tensor) -> None:
            own = probabilities[:, :columns].float()
            mass[stream] += own.sum(dim=0)
            if even is not None:
                rare = (own < even[stream]) & ~hidden[stream, :, :columns]
                low[stream] += rare.sum(dim=0)
            if rows.shape[1]:
                rows[stream] += own[-rows.shape[1] :]

        return block

    def of_new(self, layer: int, offset: Tensor) -> ChunkReads | None:
        """Reads [B, K] of the chunk's own tokens at offset [B, K] in it; None if nothing was watched."""
        state = self._layers[layer]
        if state is None:
            return None
        found = self._statistics(state)
        columns = state.mass.shape[1]
        at = (offset + state.shown).clamp(0, columns - 1)
        return ChunkReads(*(x if x is None else x.gather(1, at) for x in found))

    @property
    def watching(self) -> bool:
        """Whether anything of the open chunk has been seen."""
        return any(state is not None for state in self._layers)

    def forget(self) -> None:
        """The chunk is over."""
        self._layers = [None] * len(self._layers)

    def of_stored(self, layer: int) -> ChunkReads | None:
        """Reads [B, shown] of the stored entries; None if nothing was watched."""
        state = self._layers[layer]
        if state is None:
            return None
        return ChunkReads(*(x if x is None else x[:, : state.shown] for x in self._statistics(state)))

    def _statistics(self, state: _Layer) -> ChunkReads:
        recent = last = None
        if state.rows:
            batch, columns = state.mass.shape
            rows = torch.cat([F.pad(x, (0, columns - x.shape[2])) for x in state.rows], dim=1)[
                :, -self.rows :
            ]
            recent, last = rows.sum(dim=1), rows[:, -1]
        return ChunkReads(state.mass, state.low if self.low else None, recent, last)


def _widened(x: Tensor, batch: int, columns: int) -> Tensor:
    return F.pad(x.expand(batch, -1), (0, columns - x.shape[1])).contiguous()


def slot_reads(found: list[ChunkReads | None], widths: list[tuple[int, int]], mass: Tensor) -> ChunkReads:
    """Reads of the shown entries of each layer, put at their slots.

    Parameters
    ----------
    found : list
        One [B, shown] per layer.
    widths : list of (int, int)
        Of each block of slots: shown and allocated ones.
    mass : Tensor
        [L, B, N] column sums, N allocated slots.
    """
    parts: list[Tensor | None] = []
    for kind in ("low", "recent", "last"):
        seen = [None if reads is None else getattr(reads, kind) for reads in found]
        spread = None if all(x is None for x in seen) else torch.zeros_like(mass)
        for layer, x in enumerate(seen):
            start = column = 0
            for shown, slots in widths if x is not None else ():
                spread[layer, :, column : column + shown] = x[:, start : start + shown]
                start, column = start + shown, column + slots
        parts.append(spread)
    return ChunkReads(mass, *parts)


def queries_at(pieces: list[Tensor], offset: Tensor) -> Tensor:
    """Queries [B, K, H, d] of the tokens at offset [B, K] of a chunk whose pieces are [B, H, T, d].

    Raises
    ------
    ValueError
        If no queries were observed.
    """
    if not pieces:
        raise ValueError("the policy notes queries of new entries, but the model showed none")
    chunk = torch.cat(pieces, dim=2).transpose(1, 2)
    at = offset.clamp(0, chunk.shape[1] - 1)
    return chunk.gather(1, at[..., None, None].expand(-1, -1, *chunk.shape[2:]))
