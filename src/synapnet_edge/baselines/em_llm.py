"""EM-LLM (arXiv 2407.09450) on the trained Llama: episodic events outside a local window, read by similarity.

Written from the paper; the published code runs on one GPU with one stream. Sizes are the paper's scaled down
to this model's lengths in proportion. Where this differs: the query of a retrieval is the mean over the open
block's tokens SO FAR, not over the whole block, so that no token sees a later one and pieces of any length
give the same numbers; and the Llama, which was trained on answers alone, gets its next-token probabilities
from a small head that is fitted on its frozen states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synapnet_edge.baselines import em_events
from synapnet_edge.baselines.attention import angles, rotate
from synapnet_edge.baselines.base import BASELINES, Baseline, StreamState
from synapnet_edge.baselines.llama import Llama
from synapnet_edge.baselines.shape import Shape
from synapnet_edge.tasks import Mixture

INITIAL, LOCAL, RETRIEVED, BLOCK = 16, 512, 256, 64  # tokens; the paper: 128, 4096, 2048, 512
LEAST, MOST = 8, 64  # tokens of an event; the paper: 8, 128
GAMMA = 1.0
KEYS = 4  # tokens per head that stand for an event
BUFFER = 0.3  # share of the retrieved tokens for neighbours of retrieved events
REFINED_FROM = 5 / 8  # share of the layers below those whose keys move boundaries: layers 20 of 32


@dataclass
class LayerMemory:
    """One layer: unrotated keys and values [B, G, N, d], attention received [B, G, N], keys of events."""

    keys: Tensor | None = None
    values: Tensor | None = None
    received: Tensor | None = None
    query_sum: Tensor | None = None  # [B, H, d] over the open block
    events: list[list[Tensor]] = field(default_factory=list)  # per stream, [G*d] of every event

    def nbytes(self) -> int:
        """Bytes for one stream: nothing is ever dropped; keys of events in FP16."""
        if self.keys is None:
            return 0
        events = sum(event.numel() for event in self.events[0]) if self.events else 0
        return 2 * (self.keys[0].numel() + self.values[0].numel() + events) + 4 * self.received[0].numel()


@BASELINES.register("em_llm")
class EMLLM(Llama):
    """The Llama's weights, read through surprise-based events."""

    source: ClassVar[str | None] = "llama"

    def __init__(self, cfg: Shape) -> None:
        super().__init__(cfg)
        self.next_token = nn.Linear(cfg.dim, cfg.dim, bias=False)  # states -> the embedding's space
        nn.init.eye_(self.next_token.weight)

    def skeleton(self) -> Baseline:
        """The Llama's: events depend on contents, so keys and values alone are counted, a lower bound."""
        with torch.device("meta"):
            return Llama(self.cfg).eval()

    @classmethod
    def derive(
        cls, source: Llama, mixture: Mapping[str, float], settings: Mapping[str, Any], seed: int
    ) -> tuple[EMLLM, float, float]:
        """See `fit_next_token`."""
        return fit_next_token(source, mixture, settings, seed)

    def layer_states(self, batch: int) -> list[LayerMemory]:
        return [LayerMemory(events=[[] for _ in range(batch)]) for _ in self.blocks]

    def init_state(self, batch_size: int) -> StreamState:
        """State with no events; `extra` holds surprise and boundaries of every stream."""
        state = super().init_state(batch_size)
        state.extra = {
            "surprise": torch.zeros(batch_size, 0),
            "last": None,
            "bounds": [[INITIAL] for _ in range(batch_size)],  # starts of events, the open one included
            "scored": [0] * batch_size,  # events whose keys exist
        }
        return state

    def step(self, ids: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Process the next piece; blocks are cut at absolute positions, so that pieces do not matter."""
        if ids.dim() != 2 or ids.shape[1] == 0:
            raise ValueError(f"ids must be [batch, tokens >= 1], got shape {tuple(ids.shape)}")
        outputs, start = [], 0
        while start < ids.shape[1]:
            stop = min(ids.shape[1], start + BLOCK - state.tokens % BLOCK)
            outputs.append(self._piece(ids[:, start:stop], state))
            start = stop
        return torch.cat(outputs, 1), state

    def surprise_of(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """-log p [B, T] of ids [B, T] after states [B, T, D], float32."""
        logits = F.linear(self.next_token(hidden), self.embed.token.weight).float()
        return F.cross_entropy(logits.transpose(1, 2), ids, reduction="none")

    def _piece(self, ids: Tensor, state: StreamState) -> Tensor:
        """Tokens of one block."""
        x, length, extra = self.embed(ids), ids.shape[1], state.extra
        opened = state.tokens - state.tokens % BLOCK  # where the block starts
        eligible = [self._eligible(bounds, opened) for bounds in extra["bounds"]]
        if state.tokens == opened:
            self._score_events(state, eligible)
        starts = [bounds[count] for bounds, count in zip(extra["bounds"], eligible, strict=True)]
        positions = torch.arange(state.tokens, state.tokens + length, device=ids.device)
        for layer, block in zip(state.layers, self.blocks, strict=True):
            q, k, v = _unrotated(block.attention, block.norm(x))
            self._append(layer, k, v)
            seen = _running_mean(layer, q, state.tokens - opened)
            visible = self._visible(layer, seen, extra["bounds"], eligible, starts, positions)
            attended = self._attend(layer, q, positions, visible, starts)
            x = block.finish(x, attended.to(x.dtype))
        hidden = self.norm(x)
        self._note_surprise(ids, hidden, state)
        state.tokens += length
        if state.tokens % BLOCK == 0:
            self._close_block(state)
        return hidden

    @staticmethod
    def _eligible(bounds: list[int], opened: int) -> int:
        """Events that ended a local window before the block: the events between the first bounds."""
        return max(0, sum(bound <= opened - LOCAL for bound in bounds) - 1)

    def _append(self, layer: LayerMemory, k: Tensor, v: Tensor) -> None:
        fresh = k.new_zeros(k.shape[:3], dtype=torch.float32)
        if layer.keys is None:
            layer.keys, layer.values, layer.received = k, v, fresh
        else:
            layer.keys, layer.values = torch.cat([layer.keys, k], 2), torch.cat([layer.values, v], 2)
            layer.received = torch.cat([layer.received, fresh], 2)

    def _visible(
        self,
        layer: LayerMemory,
        query: Tensor,
        bounds: list[list[int]],
        eligible: list[int],
        starts: list[int],
        positions: Tensor,
    ) -> Tensor:
        """[B, T, N] bool: the initial tokens, the local ones from `starts` on, and retrieved events."""
        total = layer.keys.shape[2]
        index = torch.arange(total, device=positions.device)
        local = (index >= torch.tensor(starts, device=positions.device)[:, None]) | (index < INITIAL)
        seen = local[:, None] & (index <= positions[:, None])
        for stream, count in enumerate(eligible):
            if count:
                keys = torch.stack(layer.events[stream][:count])
                sizes = torch.tensor(bounds[stream][: count + 1], device=keys.device).diff()
                chosen = em_events.choose_events(query[stream] @ keys.T.float(), sizes, RETRIEVED, BUFFER)
                tokens = chosen.repeat_interleave(sizes, 1)
                seen[stream, :, INITIAL : INITIAL + tokens.shape[1]] |= tokens
        return seen

    def _attend(
        self, layer: LayerMemory, q: Tensor, positions: Tensor, visible: Tensor, starts: list[int]
    ) -> Tensor:
        """[B, T, H*d]; everything that is not local stands at the same distance, a local window away."""
        cfg = self.cfg
        index = torch.arange(layer.keys.shape[2], device=q.device)
        group = q.shape[1] // layer.keys.shape[1]
        keys = rotate(layer.keys, **angles(index, cfg.head_dim, cfg.rope_theta))
        near = rotate(q, **angles(positions, cfg.head_dim, cfg.rope_theta))
        away = rotate(q, **angles(torch.full_like(positions, LOCAL), cfg.head_dim, cfg.rope_theta))
        near, away = (t.unflatten(1, (-1, group)) for t in (near, away))  # [B, G, g, T, d]
        logits = (near @ keys[:, :, None].transpose(-1, -2)).float()
        local = index >= torch.tensor(starts, device=q.device)[:, None]  # [B, N]
        if not bool(local.all()):
            far = (away @ layer.keys[:, :, None].transpose(-1, -2)).float()
            # While the window is not full, the initial tokens have their true distances.
            far_enough = positions[:, None] - index >= LOCAL
            logits = torch.where((~local[:, None] & far_enough)[:, None, None], far, logits)
        logits = (logits * cfg.head_dim**-0.5).masked_fill(~visible[:, None, None], -torch.inf)
        probabilities = logits.softmax(-1)
        layer.received = layer.received + (probabilities * local[:, None, None, None]).sum((2, 3))
        out = probabilities.to(layer.values.dtype) @ layer.values[:, :, None]
        return out.flatten(1, 2).transpose(1, 2).flatten(2)

    def _note_surprise(self, ids: Tensor, hidden: Tensor, state: StreamState) -> None:
        extra = state.extra
        if extra["last"] is None:  # nothing predicts the first token
            first = torch.zeros(len(ids), 1)  # surprise stays on the CPU: boundaries are numbers there
            rest = self.surprise_of(hidden[:, :-1], ids[:, 1:]).cpu() if ids.shape[1] > 1 else first[:, :0]
            found = torch.cat([first, rest], 1)
        else:
            before = torch.cat([extra["last"], hidden[:, :-1]], 1)
            found = self.surprise_of(before, ids).cpu()
        extra["last"] = hidden[:, -1:]
        extra["surprise"] = torch.cat([extra["surprise"], found], 1)

    def _close_block(self, state: StreamState) -> None:
        """Find the boundaries of the finished block's tokens."""
        stop, first = state.tokens, state.tokens - BLOCK
        upper = state.layers[min(len(state.layers) - 1, int(REFINED_FROM * len(state.layers))) :]
        for stream, bounds in enumerate(state.extra["bounds"]):
            found = em_events.surprising(state.extra["surprise"][stream], first, LOCAL, GAMMA, INITIAL)
            keys = torch.cat([layer.keys[stream].transpose(0, 1).flatten(1) for layer in upper], 1).float()
            moved, previous = [], bounds[-1]
            for boundary in found:
                if boundary > previous:
                    moved.append(em_events.refine(boundary, previous, stop, keys, LEAST))
                    previous = moved[-1]
            bounds += em_events.limited(moved, bounds[-1], stop, LEAST, MOST)

    def _score_events(self, state: StreamState, eligible: list[int]) -> None:
        """Give events that have just left every local window their keys."""
        for stream, count in enumerate(eligible):
            bounds = state.extra["bounds"][stream]
            for event in range(state.extra["scored"][stream], count):
                span = slice(bounds[event], bounds[event + 1])
                for layer in state.layers:
                    keys = layer.keys[stream, :, span].float()
                    received = layer.received[stream, :, span]
                    layer.events[stream].append(em_events.representatives(keys, received, KEYS))
            state.extra["scored"][stream] = max(count, state.extra["scored"][stream])


def _unrotated(module: Any, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(
        proj(u).unflatten(-1, (-1, module.head_dim)).transpose(1, 2)
        for proj in (module.q_proj, module.k_proj, module.v_proj)
    )


def _running_mean(layer: LayerMemory, q: Tensor, before: int) -> Tensor:
    """Mean query of the open block at every token, summed over each group's heads: [B, T, G*d] float32."""
    sums = q.float().cumsum(2)
    if before and layer.query_sum is not None:
        sums = sums + layer.query_sum[:, :, None]
    layer.query_sum = sums[:, :, -1]
    counts = torch.arange(before + 1, before + 1 + q.shape[2], device=q.device)[:, None]
    groups = layer.keys.shape[1]
    return (sums / counts).unflatten(1, (groups, -1)).sum(2).transpose(1, 2).flatten(2)


def fit_next_token(
    llama: Llama, mixture: Mapping[str, float], settings: Mapping[str, Any], seed: int
) -> tuple[EMLLM, float, float]:
    """An EM-LLM with the Llama's weights and a fitted next-token head.

    Parameters
    ----------
    settings : `steps`, `batch`, `length`, `learning_rate`.

    Returns
    -------
    model, and the mean surprise [nats] of the first and the last training batch.
    """
    model = EMLLM(llama.cfg)
    model.load_state_dict(llama.state_dict(), strict=False)
    head = model.next_token
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings["learning_rate"], weight_decay=0.0)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xE3,)))
    source, losses = Mixture(mixture), []
    for _ in range(settings["steps"]):
        ids = torch.from_numpy(source.batch(rng, settings["batch"], settings["length"], 4).input_ids)
        with torch.no_grad():
            hidden, _ = llama.step(ids, llama.init_state(len(ids)))
        loss = model.surprise_of(hidden[:, :-1], ids[:, 1:]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), losses[0], losses[-1]
