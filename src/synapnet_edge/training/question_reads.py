"""What questions read of the memory: the largest share of any of their reads, entry by entry."""

from __future__ import annotations

import torch
from torch import Tensor

from synapnet_edge.models.attend import BlockWatch
from synapnet_edge.models.stores import UnboundedStore
from synapnet_edge.tasks.base import TaskBatch


def question_tokens(rows: TaskBatch) -> Tensor:
    """[B, T] bool: the tokens whose read-out is scored, and the ones before, which name what is asked."""
    asked = torch.zeros(rows.input_ids.shape, dtype=torch.bool)
    for back in (0, 1):
        asked.scatter_(1, torch.from_numpy(rows.target_pos - back).clamp_min(0), True)
    return asked


class QuestionReads(UnboundedStore):
    """Keeps every entry, the attention mass it receives, and the most that a question's read gave it.

    The mass is dominated by what every token reads a little of. What an answer needs is read sharply, once,
    by the tokens of its question: their largest share is what the salience is taught, too
    (`models.salience_teacher`).

    Parameters
    ----------
    asked : Tensor
        [B, T] bool, true for the tokens of the whole rows that belong to a question.
    """

    wants_blocks = True

    def __init__(self, asked: Tensor) -> None:
        super().__init__(record_mass=True)
        self.asked = asked
        self._by_chunk: dict[int, list[Tensor]] = {}
        self._open: dict[int, Tensor] = {}
        self._seen: dict[int, int] = {}

    def watch_blocks(self, layer: int, bias: Tensor) -> BlockWatch | None:
        first, length = self._seen.get(layer, 0), bias.shape[2]
        self._seen[layer] = first + length
        view = self.read(layer)
        if view is None:
            return None
        entries = view.bias.shape[1]
        if layer not in self._open:
            self._open[layer] = torch.zeros(view.bias.shape, device=bias.device)
        largest, asked = self._open[layer], self.asked[:, first : first + length]

        def block(stream: int, head: int, probabilities: Tensor) -> None:
            shares = probabilities[asked[stream]][:, :entries].float()
            if len(shares):
                torch.maximum(largest[stream], shares.amax(dim=0), out=largest[stream])

        return block

    def end_chunk(self) -> None:
        for layer, largest in self._open.items():
            self._by_chunk.setdefault(layer, []).append(largest)
        self._open = {}
        super().end_chunk()

    def later(self, layer: int, chunks: int) -> Tensor:
        """[chunks, B, N] float32: the largest share of each entry after chunk c, 0 where nothing is asked.

        To be called when the pass is over, its last chunk closed by `flush_mass`.
        """
        found = self._by_chunk[layer]
        batch, entries = self.positions[layer].shape
        share = torch.zeros(1 + chunks, batch, entries)  # in the chunk itself; the last row stays 0
        for chunk, seen in enumerate(found, start=chunks - len(found)):
            share[chunk, :, : seen.shape[1]] = seen.cpu()
        return share.flip(0).cummax(dim=0).values.flip(0)[1:]
