"""Prefill, first token, decode and the latency of single tokens, against the context before them.

One round streams a single sequence to the longest context. At every configured context all arms stop, each
decodes on a copy of its state, and all go on: so every cell is measured in turns, and a long prompt is paid
for once a round. A backend whose state cannot be copied reads each prompt from its start instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from synapnet_edge.profiling.backends import StreamSession
from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.timing import rotated, timed

PERCENTILES = (50, 99)


def measure(bench: Bench) -> None:
    """Rows of every arm at every context."""
    contexts = sorted(bench.settings.contexts)
    sessions = {arm.key: bench.session(arm) for arm in bench.arms}
    length = contexts[-1] + bench.settings.decode_tokens
    ids = {key: bench.ids(session, length) for key, session in sessions.items()}
    for key, session in sessions.items():  # first calls build thread pools, kernels and caches
        _warm_up(session, ids[key], bench)
    found: dict[tuple[str, int, str], list[float]] = {}
    for turn in range(bench.settings.repeats):
        streams = {key: Stream(session, ids[key]) for key, session in sessions.items()}
        for step, context in enumerate(contexts):
            for key in rotated(list(streams), turn + step):
                for metric, value in _cell(streams[key], context, bench).items():
                    found.setdefault((key, context, metric), []).append(value)
    for arm in bench.arms:
        for context in contexts:
            for metric, (unit, method) in _columns(bench).items():
                bench.add(arm, context, metric, unit, found[arm.key, context, metric], method)


class Stream:
    """One sequence read in pieces by one session, and the time its reading has taken."""

    def __init__(self, session: StreamSession, ids: Any) -> None:
        self.session, self.ids = session, ids
        self.state, self.read, self.seconds = session.start(), 0, 0.0
        self.hidden: Any = None

    def advance(self, to: int, piece: int) -> None:
        """Read on to token `to` in pieces."""
        while self.read < to:
            stop = min(to, self.read + piece)
            (self.hidden, self.state), seconds = self._timed(self._feed, stop)
            self.read, self.seconds = stop, self.seconds + seconds

    def first_token(self) -> float:
        """Seconds from the first token read to logits: the reading so far and one read-out."""
        _, seconds = self._timed(lambda _: self.session.read_out(self.hidden), 0)
        return self.seconds + seconds

    def decode(self, count: int) -> np.ndarray:
        """Seconds of each of `count` tokens read one by one with a read-out.

        On a copy of the state where there can be one; else the stream itself goes on and should not be used
        after it.
        """
        state = self.session.fork(self.state) if self.session.forks else self.state
        taken = np.empty(count)

        def step(at: int) -> Any:
            hidden, new = self.session.feed(self.ids[:, at : at + 1], state)
            self.session.read_out(hidden)
            return new

        for index in range(count):
            state, taken[index] = self._timed(step, self.read + index)
        return taken

    def _feed(self, stop: int) -> Any:
        return self.session.feed(self.ids[:, self.read : stop], self.state)

    def _timed(self, work: Callable[[int], Any], at: int) -> tuple[Any, float]:
        return timed(lambda: work(at), self.session.device)


def _cell(stream: Stream, context: int, bench: Bench) -> dict[str, float]:
    if not stream.session.forks:
        stream = Stream(stream.session, stream.ids)
    stream.advance(context, bench.settings.chunk_size)
    first = stream.first_token()
    taken = stream.decode(bench.settings.decode_tokens)
    return {
        "prefill_tokens_per_second": context / stream.seconds,
        "first_token_seconds": first,
        "decode_tokens_per_second": len(taken) / float(taken.sum()),
        **{f"token_p{p}_seconds": float(np.percentile(taken, p)) for p in PERCENTILES},
    }


def _columns(bench: Bench) -> dict[str, tuple[str, str]]:
    """metric -> (unit, method)."""
    settings = bench.settings
    prompt = f"batch 1, pieces of {settings.chunk_size} tokens, interleaved arms"
    single = f"batch 1, {settings.decode_tokens} single-token steps with read-out after the context"
    return {
        "prefill_tokens_per_second": ("token/s", prompt),
        "first_token_seconds": ("s", f"{prompt}, one read-out included"),
        "decode_tokens_per_second": ("token/s", f"{single}, interleaved arms"),
        **{
            f"token_p{p}_seconds": ("s", f"{single}; percentile {p} of a round, interleaved arms")
            for p in PERCENTILES
        },
    }


def _warm_up(session: StreamSession, ids: Any, bench: Bench) -> None:
    settings = bench.settings
    stream = Stream(session, ids)
    stream.advance(min(*settings.contexts, 2 * settings.chunk_size, 4096), settings.chunk_size)
    stream.first_token()
    stream.decode(min(8, settings.decode_tokens))
