"""Sustained decoding: does the machine keep its speed, and what energy does a token take?"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from synapnet_edge.profiling.backends import Arm
from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.device import kind, synchronise
from synapnet_edge.profiling.energy import Meter
from synapnet_edge.profiling.metrics.speed import Stream
from synapnet_edge.profiling.sensors import Sensors

PROMPT = 512  # tokens before the run
POINTS, SHORTEST = 90, 0.5  # windows of the curve over the whole run; no window is shorter than this [s]


def measure(bench: Bench) -> None:
    """Arms one after the other: decode for `sustained_seconds`, first and last window, energy, sensors."""
    for arm in bench.detailed():
        ends, sensed, reading = _run(bench, arm)
        _speed_rows(bench, arm, ends)
        if reading is None:
            bench.skipped[f"{arm.key}: energy"] = (
                f"nothing reads the energy of {bench.device} here and deploy.rated_watts has no value for it"
            )
        else:
            method = f"{reading.method}; {len(ends)} tokens in {reading.seconds:.1f} s of decoding"
            bench.add(arm, PROMPT, "energy_per_token_joule", "J/token", [reading.joule / len(ends)], method)
        for seconds, values in sensed:
            for name, value in values.items():
                bench.mark(arm, name, seconds, value, name.rsplit("_", 1)[1])


def _run(bench: Bench, arm: Arm) -> tuple[np.ndarray, list[tuple[float, dict[str, float]]], Any]:
    """End times of all tokens [s since the start], sensor readings once a second, and the energy."""
    session, settings = bench.session(arm), bench.settings
    ids = bench.ids(session, PROMPT)
    stream = Stream(session, ids)
    stream.advance(PROMPT, settings.chunk_size)
    synchronise(bench.device)
    sensors, sensed = Sensors(bench.device), []
    ends: list[float] = []
    meter = _meter(bench)
    if meter is not None:
        meter.__enter__()
    start = time.perf_counter()
    state, now, next_reading = stream.state, 0.0, 0.0
    while now < settings.sustained_seconds:
        at = len(ends) % PROMPT
        hidden, state = session.feed(ids[:, at : at + 1], state)
        session.read_out(hidden)
        synchronise(bench.device)
        now = time.perf_counter() - start
        ends.append(now)
        if now >= next_reading:
            sensed.append((now, sensors.read()))
            next_reading += 1.0
    if meter is not None:
        meter.__exit__(None, None, None)
    return np.array(ends), sensed, meter.reading if meter is not None else None


def _meter(bench: Bench) -> Meter | None:
    """The best energy source; None where none measures and no rated power is configured."""
    watts = bench.settings.watts(kind(bench.device))
    try:
        meter = Meter(bench.device, watts)
    except ValueError:
        return None
    for name, reason in meter.skipped.items():
        bench.skipped.setdefault(f"energy source {name}", reason)
    return meter


def _speed_rows(bench: Bench, arm: Arm, ends: np.ndarray) -> None:
    settings = bench.settings
    window, last = settings.sustained_window, float(ends[-1])
    first_speed = float((ends <= window).sum()) / window
    last_speed = float((ends > last - window).sum()) / window
    method = f"decoding for {settings.sustained_seconds:g} s without a pause, one run"
    cells = (
        ("sustained_tokens_per_second", "token/s", len(ends) / last, "mean"),
        ("sustained_first_tokens_per_second", "token/s", first_speed, f"first {window:g} s"),
        ("sustained_last_tokens_per_second", "token/s", last_speed, f"last {window:g} s"),
        ("sustained_ratio", "1", last_speed / first_speed, "last window / first window"),
    )
    for metric, unit, value, what in cells:
        bench.add(arm, PROMPT, metric, unit, [value], f"{method}; {what}")
    edges = np.linspace(0.0, last, 1 + max(1, min(POINTS, int(last / SHORTEST))))
    counts, _ = np.histogram(ends, edges)
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        bench.mark(arm, "tokens_per_second", 0.5 * (low + high), count / (high - low), "token/s")
