"""A stream seen while it runs: speed, process memory and what the memory's tiers hold."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import psutil
import torch

from synapnet_edge.memory import BAEEMemoryManager
from synapnet_edge.memory.ledger import by_tier
from synapnet_edge.models import SynapNetEdge
from synapnet_edge.policy_names import split_policy

MEGABYTE = 1e6


@dataclass(frozen=True)
class Reading:
    """The stream after one piece."""

    tokens: int  # read so far
    seconds: float  # since the first piece
    tokens_per_second: float  # of this piece
    rss_bytes: int  # resident memory of the process
    store_bytes: int  # live entries over all layers
    budget_bytes: int
    tiers: dict[str, tuple[int, int]]  # tier -> (bytes, entries)
    answer: int  # class, or next token, of the highest logit at the last token

    def line(self) -> str:
        """One line for a terminal."""
        held = " ".join(f"{tier} {entries:,}" for tier, (_, entries) in self.tiers.items())
        return (
            f"{self.tokens:>10,} tokens {self.tokens_per_second:>8,.0f}/s  "
            f"RSS {self.rss_bytes / MEGABYTE:6.0f} MB  "
            f"store {self.store_bytes / MEGABYTE:.2f} of {self.budget_bytes / MEGABYTE:.2f} MB  {held}"
        )


@torch.inference_mode()
def watch(
    model: SynapNetEdge, tokens: Iterable[int], budget_mb: float, policy: str = "baee", piece: int = 512
) -> Iterator[Reading]:
    """Stream `tokens` in pieces under a budget [MiB] and yield a reading after each.

    Raises
    ------
    ValueError : a token id is not in the vocabulary, or `piece` or `budget_mb` is not positive.
    """
    if piece < 1:
        raise ValueError(f"piece: found {piece}, expected at least 1")
    name, tiers = split_policy(policy)
    manager = BAEEMemoryManager(model.cfg.dim, model.cfg.depth, budget_mb, policy=name, tiers=tiers)
    state = model.init_state(1, store=manager)
    process, rest, started = psutil.Process(), iter(tokens), time.perf_counter()
    while ids := list(islice(rest, piece)):
        if max(ids) >= model.cfg.vocab_size:
            raise ValueError(f"token {max(ids)}: expected ids below {model.cfg.vocab_size}")
        before = time.perf_counter()
        hidden, state = model.step(torch.tensor([ids]), state)
        answer = int(model.read_out(hidden[:, -1]).argmax())
        now = time.perf_counter()
        yield Reading(
            state.tokens,
            now - started,
            len(ids) / (now - before),
            process.memory_info().rss,
            int(manager.bytes_used().max()) if manager.blocks else 0,
            int(manager.budget or 0),
            by_tier(manager.blocks) if manager.blocks else {},
            answer,
        )
