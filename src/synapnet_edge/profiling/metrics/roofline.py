"""Work and traffic per token of every arm, and the limits of the machine that bound them."""

from __future__ import annotations

from synapnet_edge.profiling.bench import Bench
from synapnet_edge.profiling.limits import PASSES, measure_limits
from synapnet_edge.profiling.metrics.speed import Stream
from synapnet_edge.profiling.traffic import count_macs, gathered_bytes
from synapnet_edge.results_tree import MACHINE

UNITS = {"read": ("limit_read_bytes_per_second", "B/s"), "macs": ("limit_macs_per_second", "MAC/s")}


def measure(bench: Bench) -> None:
    """Limits as rows of the machine, `*_macs_per_token` and `*_bytes_per_token` as rows of every arm."""
    for (quantity, dtype), samples in measure_limits(bench.device).items():
        metric, unit = UNITS[quantity]
        what = "sum over 256 MiB" if quantity == "read" else "square matrix product"
        method = f"{what} in torch, {bench.threads} threads, {PASSES} at once, interleaved"
        bench.add((MACHINE, dtype), 0, metric, unit, samples, method)
    if not bench.arms:
        return
    context, piece = max(min(bench.settings.contexts), 1), bench.settings.chunk_size
    work = count_macs(bench.arms[0].path, context, piece)
    for arm in bench.arms:
        session = bench.session(arm)
        held = session.parameter_bytes()
        weights = held - gathered_bytes(arm.path, held)
        stream = Stream(session, bench.ids(session, context))
        stream.advance(context, piece)
        state = session.state_bytes(stream.state)
        counted = "products counted in PyTorch while the model ran; the same for all variants"
        read = "weights as held without the token table, and the carried state, each read once"
        bench.add(arm, context, "decode_macs_per_token", "MAC/token", [work.decode], counted)
        bench.add(arm, context, "decode_bytes_per_token", "B/token", [weights + state], read)
        bench.add(arm, context, "prefill_macs_per_token", "MAC/token", [work.prefill], counted)
        bench.add(
            arm,
            context,
            "prefill_bytes_per_token",
            "B/token",
            [(weights + state) / piece],
            f"{read}, once in a piece of {piece} tokens",
        )
