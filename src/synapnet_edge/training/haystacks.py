"""Training rows behind long haystacks: memories as a stream of any length would have left them.

A row of 1,024 tokens shows the memory what a context of 1,024 tokens shows it. Behind a haystack it meets
what it would meet at the end of a long one: a memory full of the most salient of many background tokens,
among which it has to write, find and count. The haystack is read without gradient and a piece at a time, as
a recurrent network carries its state from one truncated stretch to the next (Williams and Peng 1990); what
the memory keeps of it goes on through many steps, so that a step costs one more piece, not a long context.

What a memory keeps of a haystack is its most salient tokens, and salience goes with a learned prior of the
token. So a haystack of which every token has the highest prior of n drawn ones leaves a memory about as hard
to read as that of a far longer one, at the cost of a short one (docs/trials.md). What a question then
mistakes for what it looks for are a few ids, of markers and names of other tasks; crowded haystacks hold as
many of them as long ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from synapnet_edge.models import SynapNetEdge
from synapnet_edge.models.state import ModelState
from synapnet_edge.models.stores import SalientStore
from synapnet_edge.tasks.haystacks import CROWDED, HAYSTACKS
from synapnet_edge.tasks.layout import BOS

BEHIND = 0.75  # share of the steps whose rows stand behind a haystack


class Haystacks:
    """What the model's memory keeps of one endless haystack of every kind.

    Parameters
    ----------
    model : SynapNetEdge
        Reads with the weights it has; older entries are of the weights of their step.
    """

    def __init__(self, model: SynapNetEdge) -> None:
        self.model = model
        self._states: dict[str, ModelState] = {}

    def stand_behind(
        self,
        ids: np.ndarray,
        kinds: list[str | None],
        tokens: int,
        most: int,
        rng: np.random.Generator,
        part: slice = slice(None),
        draws: int = 1,
    ) -> SalientStore | None:
        """Read on, and draw whether these rows come after what was read.

        Parameters
        ----------
        ids : [B, L] int64
            A row's first token becomes one of the background if it was BOS: the haystack has the beginning.
        kinds : list of str or None
            Haystack of each row's task (`Task.haystack`).
        tokens : int
            Mean length of a haystack: each step begins it anew with the probability that makes it so.
        most : int
            Entries that a layer keeps in this step.
        part : slice
            The rows that are wanted; the others are another process's.
        draws : int
            In a step, each token of the haystacks has the highest prior of 1 to `draws` drawn ones; in half
            of the steps, whose haystacks are crowded, of 1 to the root of that.

        Returns
        -------
        SalientStore or None
            The memory that the wanted rows begin with; None: all stand alone, as they always do if the task
            of one of them allows no haystack.
        """
        piece = self._piece()
        crowded = False
        if draws > 1:  # all orders of magnitude alike
            crowded = rng.random() < 0.5
            draws = round(draws ** (rng.random() / (2 if crowded else 1)))
        anew = not self._states or rng.random() < piece / tokens
        for kind in sorted(HAYSTACKS):
            read = self._of_highest_prior(kind, rng, piece, draws, crowded)
            if anew:
                self._states[kind] = self._begun()
                read[0] = BOS
            self._read(kind, read)
        filler = {kind: HAYSTACKS[kind](rng, len(ids)) for kind in sorted(HAYSTACKS)}
        if rng.random() >= BEHIND or None in kinds:
            return None
        for row, kind in enumerate(kinds):
            if ids[row, 0] == BOS:
                ids[row, 0] = filler[kind][row]
        return SalientStore.joined([self._states[kind].store for kind in kinds[part]], most)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint has to hold."""
        tensors = {}
        for kind, state in self._states.items():
            tensors[f"{kind}.tokens"] = torch.tensor(state.tokens)
            for number, layer in enumerate(state.layers):
                parts = zip(_PARTS, (*state.store.entries(number), layer.conv_tail), strict=True)
                tensors |= {f"{kind}.{number}.{name}": tensor for name, tensor in parts}
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with `tensors()` of an earlier run; raises KeyError for a missing part."""
        device = self.model.embed.token.weight.device
        for kind in sorted({name.partition(".")[0] for name in tensors}):
            state = self._states[kind] = self._begun()
            state.tokens = int(tensors[f"{kind}.tokens"])
            for number, layer in enumerate(state.layers):
                *entries, tail = (tensors[f"{kind}.{number}.{part}"].to(device) for part in _PARTS)
                state.store.write(number, *entries)
                layer.conv_tail = tail

    def _piece(self) -> int:
        """Tokens that fill a memory, in whole chunks: every store then holds as many entries as it can."""
        cfg = self.model.cfg
        return cfg.chunk_len * -(-cfg.max_entries // cfg.episodic_slots)

    def _of_highest_prior(
        self, kind: str, rng: np.random.Generator, tokens: int, draws: int, crowded: bool = False
    ) -> np.ndarray:
        """[tokens] ids, each of them the one with the highest prior of `draws`."""
        drawn = {**HAYSTACKS, **CROWDED} if crowded else HAYSTACKS
        ids = drawn[kind](rng, tokens * draws).reshape(tokens, draws)
        if draws == 1:
            return ids[:, 0]
        prior = self.model.embed.prior.detach().float().cpu().numpy()
        return ids[np.arange(tokens), prior[ids].argmax(axis=1)]

    def _begun(self) -> ModelState:
        return self.model.init_state(1, store=SalientStore(self.model.cfg.max_entries))

    @torch.no_grad()
    def _read(self, kind: str, ids: np.ndarray) -> None:
        device = self.model.embed.token.weight.device
        self.model.step(torch.as_tensor(ids, device=device)[None], self._states[kind])


_PARTS = ("keys", "values", "log_salience", "positions", "conv_tail")  # of a layer's state
