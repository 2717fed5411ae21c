"""Interleaved timing of arms: every round measures each once, so that load on the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd

from synapnet_edge.runtime.bench.arms import FLOAT_ARMS, Arm

COLUMNS = [
    "arm", "threads", "work", "context", "milliseconds", "ci_low", "ci_high", "cpu_milliseconds", "rounds",
    "tokens_per_second", "weight_bytes", "against", "speedup", "speedup_low", "speedup_high",
]  # fmt: skip
_DRAWS = 2000


def compare(
    arms: Sequence[Arm],
    contexts: Sequence[int],
    *,
    rounds: int,
    decode_tokens: int,
    chunk_len: int,
    threads: int,
    seed: int = 0,
) -> pd.DataFrame:
    """Median time of decoding and of reading a chunk for each arm and context.

    Returns
    -------
    DataFrame
        One row for each arm, work (decode: one token; chunk) and context. `speedup` compares with the best
        float arm of the same work and context (`against`): the median over rounds of the ratio of its time to
        this arm's time in the same round. Intervals are 95 % bootstrap intervals of medians.
        `cpu_milliseconds` is processor time of all threads together: other work moves it less.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for context in contexts:
        times: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for arm in arms:
            arm.prepare(context)
            arm.decode(1)  # first calls build caches
        for work in ("decode", "chunk"):
            if work == "chunk":
                for arm in arms:
                    arm.align()
            for turn in range(rounds):
                for arm in [*arms[turn % len(arms) :], *arms[: turn % len(arms)]]:
                    times.setdefault((work, arm.name), []).append(_timed(arm, work, decode_tokens))
        for work in ("decode", "chunk"):
            taken = {arm.name: np.array(times[work, arm.name]) for arm in arms}  # [rounds, 2]
            found = {name: values[:, 0] for name, values in taken.items()}
            against = min((n for n in found if n in FLOAT_ARMS), key=lambda n: np.median(found[n]))
            tokens = 1 if work == "decode" else chunk_len
            for arm in arms:
                middle, low, high = _median(found[arm.name], rng)
                ratio = _median(found[against] / found[arm.name], rng)
                rows.append(
                    (arm.name, threads, work, context, 1e3 * middle, 1e3 * low, 1e3 * high)
                    + (1e3 * float(np.median(taken[arm.name][:, 1])), rounds)
                    + (tokens / middle, arm.weight_bytes, against, *ratio)
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def _timed(arm: Arm, work: str, decode_tokens: int) -> tuple[float, float]:
    """Wall and processor seconds of one chunk, or of one decoded token."""
    started, busy = time.perf_counter(), time.process_time()
    if work == "chunk":
        arm.chunk()
    else:
        arm.decode(decode_tokens)
    share = 1 if work == "chunk" else decode_tokens
    return (time.perf_counter() - started) / share, (time.process_time() - busy) / share


def _median(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    draws = np.median(rng.choice(values, (_DRAWS, len(values))), axis=1)
    return float(np.median(values)), *(float(x) for x in np.quantile(draws, (0.025, 0.975)))


def read_rate(megabytes: int = 256, rounds: int = 3) -> float:
    """Bytes per processor second that one thread reads from memory: the best of sums over a large array."""
    array = np.ones(megabytes << 17, np.int64)
    best = np.inf
    for _ in range(rounds):
        started = time.process_time()
        array.sum()
        best = min(best, time.process_time() - started)
    return array.nbytes / best
