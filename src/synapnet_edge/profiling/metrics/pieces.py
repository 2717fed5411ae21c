"""Prefill speed against the size of the pieces: some backends like short ones, eager PyTorch long ones."""

from __future__ import annotations

from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.metrics.speed import Stream
from synapnet_edge.profiling.timing import interleave


def measure(bench: Bench) -> None:
    """`prefill_piece_tokens_per_second`; the `context` column holds the size of a piece."""
    sizes = sorted(bench.settings.pieces)
    if not sizes:
        return
    prompt = max(sizes)
    sessions = {arm.key: bench.session(arm) for arm in bench.arms}
    ids = {key: bench.ids(session, prompt) for key, session in sessions.items()}

    def prefill(key: str) -> dict[str, float]:
        speeds = {}
        for size in sizes:
            stream = Stream(sessions[key], ids[key])
            stream.advance(prompt, size)
            speeds[str(size)] = prompt / stream.seconds
        return speeds

    for key in sessions:
        prefill(key)
    found = interleave(list(sessions), bench.settings.repeats, prefill)
    method = f"batch 1, {prompt} tokens from an empty state; context = tokens of a piece; interleaved arms"
    for arm in bench.arms:
        for size in sizes:
            samples = found[arm.key][str(size)]
            bench.add(arm, size, "prefill_piece_tokens_per_second", "token/s", samples, method)
